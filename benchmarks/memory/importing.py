"""Say what an import costs in this fresh interpreter: ``... importing STATEMENT``.

Prints one line of JSON: milliseconds of CPU for the import, and the number of modules it loaded.
The time is taken from inside, so that the interpreter's own start need not be subtracted. An
earlier import could make it look cheaper, so only `sys` and `time` are imported before.
"""

import sys
import time

if __name__ == "__main__":
    statement = sys.argv[1]
    before = set(sys.modules)
    begun = time.process_time()
    exec(statement, {})  # noqa: S102 - the suite's own statement
    milliseconds = 1000 * (time.process_time() - begun)
    loaded = set(sys.modules) - before
    engines = sorted({name.partition(".")[0] for name in loaded} & {"websockets", "picows"})
    import json

    print(json.dumps({"ms": milliseconds, "modules": len(loaded), "engines": engines}))
