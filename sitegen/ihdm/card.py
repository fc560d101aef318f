from __future__ import annotations
from dataclasses import dataclass
@dataclass(frozen=True)
class UNetConfig:
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int = 2
    attention_levels: tuple[int, ...] = ()
    num_heads: int = 1
    num_head_channels: int = -1
    dropout: float = 0.0
    conv_resample: bool = True
    resblock_updown: bool = False
    use_scale_shift_norm: bool = False
    use_new_attention_order: bool = True
    def heads(self, channels):
        return self.num_heads if self.num_head_channels == -1 else channels // self.num_head_channels
