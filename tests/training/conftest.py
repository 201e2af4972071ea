import pytest
from small_runs import Silent, small_recipe


@pytest.fixture
def silent():
    return Silent()


@pytest.fixture
def recipe_of():
    return small_recipe
