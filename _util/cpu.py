"""Features of this CPU."""

import torch


def multiplies_bf16() -> bool:
    """Whether the CPU has bf16 multiply instructions (AVX-512 BF16, AMX); without them, bf16 is slower than fp32."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.backends.mkldnn.is_available() and any(check() for check in checks if check is not None)
