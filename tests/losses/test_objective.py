"""The objective: weights, names, and which parts of a motion it reads."""

from types import SimpleNamespace

import pytest
import torch

from vfi_pipeline.losses import Term, TripletObjective, triplet_objective, weighted


def motion(**changed):
    generator = torch.Generator().manual_seed(5)
    flow = torch.randn(2, 2, 12, 16, generator=generator)
    made = {
        "frame": torch.rand(2, 3, 3, 12, 16, generator=generator),
        "path": flow[None],
        "velocity": flow,
        "forward": flow,
        "backward": -flow,
        "auxiliary": {"one_sided/first": torch.rand(2, 3, 3, 12, 16), "coarse/4": torch.rand(2, 3, 3, 3, 4)},
    }
    return SimpleNamespace(**{**made, **changed})


TRUE, FIRST = torch.rand(2, 3, 3, 12, 16), torch.rand(2, 3, 12, 16)


def test_the_total_is_the_weighted_sum_of_the_named_terms():
    terms = weighted({"a": torch.tensor(2.0), "b": torch.tensor(3.0)}, {"a": 1, "b": 0.5, "unused": 9})
    assert {k: v.item() for k, v in terms.items()} == {"a": 2, "b": 3, "total": 3.5}


def test_a_term_without_weight_is_an_error():
    with pytest.raises(KeyError, match="b"):
        weighted({"b": torch.tensor(3.0)}, {"a": 1})


def test_only_terms_with_a_weight_are_computed():
    terms = triplet_objective(l2=2.0, folding=0.5, smooth=0.1)(motion(), TRUE, FIRST)
    assert set(terms) == {"l2", "folding", "smooth", "total"}
    expected = 2 * terms["l2"] + 0.5 * terms["folding"] + 0.1 * terms["smooth"]
    assert terms["total"].item() == pytest.approx(expected.item())


def test_every_term_reaches_the_total():
    names = ["l2", "charbonnier", "laplacian", "census", "folding", "out_of_grid", "smooth", "edge_smooth",
             "round_trip",             "inverse", "velocity", "perceptual"]  # fmt: skip
    for name in names:
        objective = triplet_objective(**{name: 3.0}, network=lambda made, true: (made - true).abs().mean())
        terms = objective(
            motion(), TRUE, FIRST, velocity=torch.ones(2, 2, 12, 16), velocity_mask=torch.ones(2, 1, 12, 16)
        )
        assert set(terms) == {name, "total"}
        assert terms["total"].item() == pytest.approx(3 * terms[name].item()) and terms[name].item() > 0


def test_auxiliary_frames_are_weighted_by_name_or_by_their_family_and_compared_at_their_size():
    terms = triplet_objective(auxiliary={"one_sided": 0.5, "coarse/4": 2.0})(motion(), TRUE, FIRST)
    assert set(terms) == {"one_sided/first", "coarse/4", "total"}
    expected = 0.5 * terms["one_sided/first"] + 2 * terms["coarse/4"]
    assert terms["total"].item() == pytest.approx(expected.item())
    assert "coarse/4" not in triplet_objective(auxiliary={"one_sided": 0.5})(motion(), TRUE, FIRST)


def test_a_constant_frame_stays_constant_when_compared_at_a_coarser_size():
    made = motion(auxiliary={"coarse/4": torch.full((2, 3, 3, 3, 4), 0.5)})
    terms = triplet_objective(auxiliary={"coarse": 1.0})(made, torch.full_like(TRUE, 0.5), FIRST)
    assert terms["coarse/4"].item() == pytest.approx(0, abs=1e-6)


def test_a_true_velocity_is_the_contents_and_points_against_the_path():
    moved = motion(velocity=torch.full((2, 2, 12, 16), -3.0))
    objective = triplet_objective(velocity=1.0)
    right = objective(moved, TRUE, FIRST, torch.full((2, 2, 12, 16), 3.0), torch.ones(2, 1, 12, 16))
    wrong = objective(moved, TRUE, FIRST, torch.full((2, 2, 12, 16), -3.0), torch.ones(2, 1, 12, 16))
    assert right["velocity"].item() == pytest.approx(0, abs=1e-6) and wrong["velocity"].item() == pytest.approx(
        6, abs=1e-2
    )


def test_an_unknown_velocity_does_not_count():
    objective = triplet_objective(velocity=1.0)
    terms = objective(motion(), TRUE, FIRST, torch.zeros(2, 2, 12, 16), torch.zeros(2, 1, 12, 16))
    assert terms["velocity"].item() == 0


def test_without_true_frames_only_the_penalties_are_left():
    terms = triplet_objective(l2=1.0, folding=1.0)(motion(), TRUE[:, :0], FIRST)
    assert set(terms) == {"folding", "total"}


def test_a_perceptual_weight_without_a_network_is_refused():
    with pytest.raises(ValueError, match="needs a network"):
        triplet_objective(perceptual=1.0)


def test_census_can_look_at_smaller_pictures():
    made, true = torch.rand(2, 3, 3, 48, 64), torch.rand(2, 3, 3, 48, 64)
    shrunk = triplet_objective(census=1.0, census_shrink=4)(motion(frame=made), true, FIRST)["census"]
    pooled = [torch.nn.functional.avg_pool2d(x.flatten(0, 1), 4) for x in (made, true)]
    full = triplet_objective(census=1.0)(
        motion(frame=pooled[0].unflatten(0, (2, 3))), pooled[1].unflatten(0, (2, 3)), FIRST
    )
    assert torch.equal(shrunk, full["census"])


def test_a_loss_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no loss 'foldnig'; there are l2"):
        triplet_objective(foldnig=0.1)


def test_terms_of_ones_own_stand_beside_those_by_name():
    brightness = Term("brightness", 2.0, lambda compared: compared.motion.frame.mean())
    terms = TripletObjective([brightness, Term("absent", 1.0, lambda _: None)])(motion(), TRUE, FIRST)

    assert set(terms) == {"brightness", "total"} and terms["total"] == 2 * terms["brightness"]
