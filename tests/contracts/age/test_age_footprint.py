"""What the format costs a process that only stands by."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import contracts.age as age

def openssl_is_loaded():
    return any(name.partition(".")[0] == "cryptography" for name in sys.modules)

identity = age.Identity.generate()
header = age.parse_header(age.make_header(age.FileKey.generate(), [identity.recipient]))
assert header is not None
age.unwrap_file_key(header, [identity])
decryptor = age.Decryptor([identity])
assert not openssl_is_loaded(), "keys and headers must not load OpenSSL"
encryptor = age.Encryptor([identity.recipient])
assert openssl_is_loaded()
"""


def test_an_idle_process_does_not_load_openssl() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=60)
