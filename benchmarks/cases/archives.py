"""Archives made to harm: names and links that lead elsewhere, devices, claims, and a lot of zeros."""

import gzip
import io
import stat
import tarfile
import zipfile
from functools import partial
from pathlib import Path

NAMES = ["../harmed", "a/../../harmed", "C:/harmed", "..\\harmed", "a\x00b", "", ".", "x" * 5000]


def archive_cases():
    """Yield (name, bytes of an archive)."""
    for number, name in enumerate([*NAMES, str(Path("harmed").resolve())]):
        yield f"zip name {number}", zip_of(name, b"x")
        yield f"zip link {number}", zip_of("link", name.encode(), stat.S_IFLNK | 0o777)
        yield f"tar name {number}", tar_of(name, b"x")
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            yield f"tar link {number} {kind!r}", tar_of("link", b"", kind, name)
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE):
        yield f"tar device {kind!r}", tar_of("device", b"", kind)
    yield "zip pipe", zip_of("pipe", b"", stat.S_IFIFO | 0o666)
    yield "zip bomb", partial(zip_of, "zeros", bytes(100_000_000))
    yield "tar bomb", partial(tar_gz_of_zeros, 100_000_000)
    whole = zip_of("a", b"x" * 1000)
    for share in range(8):
        yield f"zip cut at {share}/8", whole[: len(whole) * share // 8]
    claim = tarfile.TarInfo("claims")
    claim.size = 10**12
    yield "tar claim", claim.tobuf() + b"x"
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 10**10
    yield "tar header claim", header.tobuf() + b"x"


def zip_of(name, content, mode=stat.S_IFREG | 0o644):
    """Return a zip file with one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
        archive.writestr(info, content)
    return buffer.getvalue()


def tar_of(name, content, kind=tarfile.REGTYPE, target=""):
    """Return a tar file with one member."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.linkname = len(content), kind, target
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_gz_of_zeros(size):
    """Return a small file that unpacks to so many bytes."""
    return gzip.compress(tar_of("zeros", bytes(size)), 1)
