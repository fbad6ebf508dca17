"""What pyproject.toml cannot say: the templates and static files go into the package ``portal``."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(exclude=["bench*", "docs*", "tests*"]),
        "portal.templates",
    ],
    package_dir={"portal.templates": "templates"},
    package_data={
        "portal": ["api/samples/**/*.json", "locale/*/LC_MESSAGES/*"],
        "portal.templates": ["**/*"],
    },
)
