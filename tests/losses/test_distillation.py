"""The student follows the teacher where the teacher's frame is better, and nowhere else."""

import pytest
import torch

from vfi_pipeline.losses import distillation


def test_only_where_the_teacher_is_better_by_the_margin_does_its_distance_count():
    student = torch.zeros(1, 2, 1, 4, dtype=torch.float64)
    teacher = torch.tensor([3.0, 4.0], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 1, 4)
    student_error = torch.tensor([0.30, 0.30, 0.30, 0.30]).view(1, 1, 1, 4)
    teacher_error = torch.tensor([0.10, 0.30, 0.295, 0.50]).view(1, 1, 1, 4)  # better; equal; within the margin; worse

    loss = distillation(student, teacher, student_error, teacher_error, margin=0.01)

    assert float(loss) == pytest.approx(5 / 4, abs=1e-3)  # 5 px in one of four places


@pytest.mark.parametrize("teacher_error", [0.2, 0.3, 0.9])
def test_it_is_zero_where_the_teacher_is_no_better_whatever_it_says(teacher_error):
    student = torch.randn(2, 3, 2, 4, 5, requires_grad=True)
    loss = distillation(
        student, torch.randn(2, 3, 2, 4, 5), torch.full((2, 3, 1, 4, 5), 0.2), torch.tensor(teacher_error)
    )
    loss.backward()

    assert float(loss) == 0 and not student.grad.any()


def test_it_is_zero_where_both_agree_and_has_a_gradient_there():
    flow = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = distillation(flow, flow.detach().clone(), torch.ones(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))
    loss.backward()

    assert float(loss) == pytest.approx(0, abs=1e-9) and torch.isfinite(flow.grad).all()


def test_no_gradient_reaches_the_teacher_or_the_errors():
    parts = [torch.rand(1, channels, 3, 3, requires_grad=True) for channels in (2, 2, 1, 1)]
    student, teacher, student_error, teacher_error = parts
    distillation(student, teacher, student_error + 1, teacher_error).backward()

    assert student.grad.any()
    assert [part.grad for part in parts[1:]] == [None, None, None]


def test_the_students_gradient_is_that_of_the_distance():
    student = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    errors = torch.rand(1, 1, 3, 4), torch.rand(1, 1, 3, 4)

    assert torch.autograd.gradcheck(lambda flow: distillation(flow, teacher, *errors), student)
