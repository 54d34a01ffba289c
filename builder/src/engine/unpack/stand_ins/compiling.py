# ORDERS NAME…: does what py3compile was called for, one call after the other, in one process and with one that compiles
import os
import subprocess
import sys
from types import ModuleType


class Workers(dict):
    """Those who compile: nobody waits for their end before the last call."""

    def values(self):
        return ()


def words_of(directory, name):
    with open(os.path.join(directory, name), encoding="utf-8") as order:
        return order.read().split("\0")[:-1]


def called(module, words):
    sys.argv = words
    try:
        module.main()
    except SystemExit as end:
        return end.code or 0
    return 0


def run(orders):
    # not imported: nothing that is imported goes without a compiled file beside it
    module = ModuleType("py3compile")
    with open(orders[0][1], encoding="utf-8") as program:
        exec(compile(program.read(), orders[0][1], "exec"), vars(module))
    # another program than the one we know, or workers that a call needs for itself
    known = all(hasattr(module, name) for name in ("main", "STDINS", "WORKERS"))
    if not known or any("-O" in words for (_, *words) in orders):
        return max(subprocess.call(words, cwd=directory) for (directory, *words) in orders)
    module.WORKERS = Workers()
    codes = []
    for directory, *words in orders:
        os.chdir(directory)
        codes.append(called(module, words))
    for process in dict.values(module.WORKERS):
        process.communicate()
        codes.append(process.returncode)
    return max(codes, key=abs)


sys.exit(run([words_of(sys.argv[1], name) for name in sys.argv[2:]]))
