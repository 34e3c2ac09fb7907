"""Made the maps files here, one of every kind, and the frames that version 0.6.0 rendered from them at t = 0.3.

git worktree add ../v0.6 eab23b0 && cd ../v0.6 && PYTHONPATH=. python <this file> <folder>
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from vfi_pipeline.apps.maps import Maps, packed
from vfi_pipeline.geometry import pixel_grid
from vfi_pipeline.models.animation import MotionAnimator, home_of, restored
from vfi_pipeline.models.far import Effort, PictureFit
from vfi_pipeline.models.fit import FitModel
from vfi_pipeline.models.flow import FlowInterpolator, FlowModel
from vfi_pipeline.models.morph import MorphModel
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.nets.fields import FIELDS
from vfi_pipeline.nets.unet import UNetShape
from vfi_pipeline.ode import Solver

H, W = 12, 16


def scene(dx, dy):
    x, y = pixel_grid(H, W, like=torch.empty(0)).unbind(dim=1)
    x, y = x - dx, y - dy
    waves = [torch.sin(x / 5 + k) * torch.cos(y / 6 - k) + 0.4 * torch.sin((x + y) / 9) for k in range(3)]
    return (0.5 + 0.3 * torch.stack(waves, dim=1)).clamp(0, 1)


def node(kind, sides, conditioning):
    torch.manual_seed(0)
    field = FIELDS[kind](conditioning=conditioning, unet=UNetShape(widths=(8, 12), final=8, head=1.0))
    return WarpingODE(field, sides, Solver("rk4", 6), guide_span=12)


def flow():
    torch.manual_seed(0)
    net = FlowInterpolator().net
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return FlowModel(net, 64)


models = {
    "fit": MotionAnimator(FitModel(quality="draft")),
    "flow": MotionAnimator(flow()),
    "field": MotionAnimator(node("svf", "both", "both")),
    "field_first": MotionAnimator(node("svf", "first", "first")),
    "sampled": MotionAnimator(node("state", "group", "first")),
    "far": PictureFit(effort=Effort(20, 10, 1e-2, 1, 0)),
    "morph_flow": MorphModel("flow", steps=15),
    "morph_original": MorphModel("original", steps=40),
}
out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
first, last = scene(0, 0), (0.9 * scene(3, -2)).clamp(0, 1)
frames = {}
for name, model in models.items():
    torch.manual_seed(0)
    animation = model.solve(first, last)
    state = {k: (v.half() if name == "sampled" and v.ndim == 4 else v) for k, v in animation.state().items()}
    home = home_of(animation)
    again = restored(home, state, first, last)
    frames[name] = (again.frame(0.3) * 255).round().byte()
    (out / f"{name}.maps.safetensors").write_bytes(packed([Maps(home, state, ("a.png", "b.png"))], False))
save_file(frames, out / "frames_at_0.3.safetensors")
