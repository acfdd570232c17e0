"""Autobahn's cases for WebSocket against the endpoint /echo of a server: autobahn.py KOSOKU OUT SERVER

SERVER prints {"url":"http://127.0.0.1:PORT"}. Groups 12 and 13 are left out: they are about compression, which is not
negotiated here (SPEC §5). A case passes if both its behaviour and its closing are OK, NON-STRICT or INFORMATIONAL.
"""

import json
import pathlib
import shutil
import subprocess
import sys
from urllib.parse import urlsplit

EXPECTED = 301  # kosoku 0.1.0 without groups 12 and 13
PASS = {"OK", "NON-STRICT", "INFORMATIONAL"}

kosoku, out, server = sys.argv[1:]
shutil.rmtree(out, ignore_errors=True)
program = subprocess.Popen([server, "--addr", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
try:
    address = urlsplit(json.loads(program.stdout.readline())["url"]).netloc
    target = f"ws://{address}/echo"
    subprocess.run([kosoku, "-m", "fuzzingclient", "-o", out, "-x", "12.*", "-x", "13.*", target], timeout=300)
finally:
    program.terminate()
    program.wait(30)
((_, cases),) = json.loads(pathlib.Path(out, "index.json").read_text()).items()
bad = {case: row for case, row in cases.items() if not {row["behavior"], row["behaviorClose"]} <= PASS}
for case, row in cases.items():
    if {row["behavior"], row["behaviorClose"]} != {"OK"}:
        print(case, row["behavior"], row["behaviorClose"], row["reportfile"])
missing = max(0, EXPECTED - len(cases))
print(f"{len(cases) - len(bad)} passed, {len(bad) + missing} failed")
sys.exit(bool(bad or missing))
