"""Nodes for ComfyUI: put a link to this folder, or a copy beside the project, into ComfyUI's `custom_nodes`.

The project's folder is found from where this file lies, through links; a copy elsewhere needs it in `INBETWEEN_HOME`.
"""

import os
import sys
from pathlib import Path

_HOME = Path(os.environ.get("INBETWEEN_HOME") or Path(__file__).resolve().parents[2])
if not (_HOME / "hosts" / "comfyui" / "nodes.py").is_file():
    raise ImportError(f"{_HOME} is not the folder of the project; set the environment variable INBETWEEN_HOME to it.")
if str(_HOME) not in sys.path:
    sys.path.append(str(_HOME))

from hosts.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS  # noqa: E402

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
