from __future__ import annotations
import cProfile, pstats
from core_orchestration import drafts
def test_big(user, make_role):
    make_role("S")
    steps=[{"key":f"k{i}","name":f"K{i}","role_name":"S","input_mapping":{"a":"{{ context.input.x }}"}} for i in range(10000)]
    p=cProfile.Profile(); p.enable(); drafts.save({"name":"big","steps":steps}, by=user); p.disable()
    pstats.Stats(p).sort_stats("cumtime").print_stats(35)
