"""Features of this CPU."""

import torch


def multiplies_bf16() -> bool:
    """Whether the CPU has instructions for products in bf16 (AVX-512 BF16, AMX); without, bf16 is slower than fp32."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.backends.mkldnn.is_available() and any(check() for check in checks if check is not None)
