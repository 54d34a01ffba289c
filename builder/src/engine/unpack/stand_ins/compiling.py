# compiling.py NAME…: does in one process, with one that compiles, what py3compile was called for; the calls are files of
# these names in the working directory
import os
import subprocess
import sys
from types import ModuleType


class Workers(dict):
    """Those who compile. py3compile waits for the end of all values after each call; these go on to the next."""

    def values(self):
        return ()


def read(name):
    with open(name, encoding="utf-8") as order:
        directory, *words = order.read().split("\0")[:-1]
    return directory, words


def load(path):
    # an import would leave a compiled file beside it
    module = ModuleType("py3compile")
    with open(path, encoding="utf-8") as program:
        exec(compile(program.read(), path, "exec"), vars(module))
    return module


def call(module, words):
    sys.argv = words
    try:
        module.main()
    except SystemExit as end:
        return end.code
    return 0


def run(orders):
    module = load(orders[0][1][0])
    known = all(hasattr(module, name) for name in ("main", "STDINS", "WORKERS"))
    # one that optimises needs a worker of its own
    if not known or any("-O" in words for _, words in orders):
        return any(subprocess.call(words, cwd=directory) for directory, words in orders)
    module.WORKERS = Workers()
    failed = False
    for directory, words in orders:
        os.chdir(directory)
        failed |= bool(call(module, words))
    for process in dict.values(module.WORKERS):
        process.communicate()
        failed |= process.returncode != 0
    return failed


sys.exit(run([read(name) for name in sys.argv[1:]]))
