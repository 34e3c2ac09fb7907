"""What pyproject.toml cannot say: the folder conf/ at the top is the package's ``vfi_pipeline.conf`` in a wheel."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["vfi_pipeline*"]), "vfi_pipeline.conf"],
    package_dir={"vfi_pipeline.conf": "conf"},
    package_data={"vfi_pipeline.conf": ["**/*.yaml"], "vfi_pipeline": ["py.typed", "weights/*"]},
)
