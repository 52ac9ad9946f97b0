from palate.memory import free_memory


def test_some_memory_is_free() -> None:
    assert 0 < free_memory() < 2**50
