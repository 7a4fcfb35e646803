#!/bin/bash
# Finds ptxas, NVIDIA's assembler of PTX, with which the tests check every emitted
# module: no GPU is needed for that. Where it is not on the PATH and SSMC_PTXAS
# does not name one, the Python package that has it is fetched into build/ptxas
# (120 MB, no root). Prints its path on standard output; fails where there is none.
#
#   SSMC_NO_INSTALL=1   fetches nothing
set -euo pipefail
cd "$(dirname "$0")/.."

# The package, and what it calls the file. Later releases drop older GPUs.
package=nvidia-cuda-nvcc-cu12
within=nvidia/cuda_nvcc/bin/ptxas

say() { echo "setup-ptxas: $*" >&2; }

if [[ -n ${SSMC_PTXAS:-} ]]; then
	[[ -x $SSMC_PTXAS ]] || { say "SSMC_PTXAS=$SSMC_PTXAS is not there"; exit 1; }
	echo "$SSMC_PTXAS"
	exit
fi
if command -v ptxas; then exit; fi
here=$PWD/build/ptxas/ptxas
if [[ -x $here ]]; then
	echo "$here"
	exit
fi
if [[ -n ${SSMC_NO_INSTALL:-} ]]; then
	say "ptxas is not here, and nothing may be installed"
	exit 1
fi
if [[ $(uname -s) != Linux ]]; then
	say "$package is for Linux only: install the CUDA toolkit and set SSMC_PTXAS"
	exit 1
fi
command -v python3 > /dev/null || { say "python3 is not here, which fetches $package"; exit 1; }

say "fetching $package"
rm -rf build/ptxas
mkdir -p build/ptxas
python3 -m pip --version > /dev/null 2>&1 || { say "python3 has no pip: apt-get install python3-pip"; exit 1; }
if ! python3 -m pip install --quiet --disable-pip-version-check --no-deps --target build/ptxas/wheel "$package" >&2; then
	say "pip could not fetch $package"
	rm -rf build/ptxas
	exit 1
fi
mv "build/ptxas/wheel/$within" build/ptxas/ptxas
rm -rf build/ptxas/wheel
chmod +x build/ptxas/ptxas
build/ptxas/ptxas --version > /dev/null
echo "$here"
