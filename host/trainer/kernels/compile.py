"""Compiles the kernels with NVRTC, which needs neither a GPU nor a driver. Called by `cargo xtask kernels`.

compile.py LIBRARY_FOLDER SOURCE_FOLDER OUT_FOLDER TARGET: the target is sm_NN (machine code) or compute_NN (PTX).
Prints one option a line, without the target's own.
"""

import ctypes
import pathlib
import sys

# Fused operations round once where the processor rounds twice: gains and leaves would differ.
OPTIONS = ["--fmad=false", "--std=c++17"]


def check(nvrtc, result, program=None):
    if result == 0:
        return
    nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
    log = read(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program) if program else b""
    sys.exit(f"{nvrtc.nvrtcGetErrorString(result).decode()}\n{log.decode()}")


def read(size_of, get, program):
    size = ctypes.c_size_t()
    size_of(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    get(program, buffer)
    return buffer.raw


def compile_one(nvrtc, source, folder, target):
    program = ctypes.c_void_p()
    check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"airlock.cu", 0, None, None))
    options = [*OPTIONS, f"-arch={target}", f"-I{folder}"]
    array = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    check(nvrtc, nvrtc.nvrtcCompileProgram(program, len(options), array), program)
    if target.startswith("sm_"):
        return read(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    return read(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program).rstrip(b"\0")


def main():
    library, folder, out, target = sys.argv[1:]
    nvrtc = ctypes.CDLL(str(pathlib.Path(library) / "libnvrtc.so.12"))
    source = (pathlib.Path(folder) / "airlock.cu").read_bytes()
    image = compile_one(nvrtc, source, folder, target)
    name = f"{target}.cubin" if target.startswith("sm_") else f"{target.replace('compute', 'sm')}.ptx"
    (pathlib.Path(out) / name).write_bytes(image)
    print("\n".join(OPTIONS))


main()
