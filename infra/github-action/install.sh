#!/bin/bash
# Installs Modelflight from this action's own checkout into a virtual environment that later jobs of the
# same machine find again, and names its Python in the step's output `python`.
set -euo pipefail

# Versions come from uv.lock, which only uv reads.
uv_version=0.9.30
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mode=${MODELFLIGHT_MODE:-}
[ -n "$mode" ] || { [ -n "${PREFECT_API_URL:-}" ] && mode=prefect || mode=job; }

if ! "$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
  echo "::error title=Modelflight::It needs Python 3.11 to 3.13; add actions/setup-python before it, or name one as python."
  exit 2
fi

# Everything that decides what is in the environment is in its name.
key=$({
  "$PYTHON" -c 'import sys; print(sys.version, sys.executable)'
  echo "$mode"
  cd "$top"
  cat uv.lock pyproject.toml hatch_build.py infra/github-action/install.sh
  [ "$mode" != prefect ] || echo "$top" # where its code is taken from
  [ "$mode" = prefect ] || find tasks flows deployments infra -type f ! -name '*.pyc' ! -path '*/bin/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  cd "$OLDPWD"
  [ -z "$REQUIREMENTS" ] || cat -- "$REQUIREMENTS"
} | sha256sum | cut -c1-16)
home=${RUNNER_TOOL_CACHE:-$RUNNER_TEMP}/modelflight
environment=$home/$mode-$key

if [ ! -e "$environment/complete" ]; then
  echo "::group::Install Modelflight for mode $mode"
  mkdir -p "$home"
  exec 9>"$environment.lock"
  flock 9 # another job of this machine may be at it
  if [ ! -e "$environment/complete" ]; then
    "$PYTHON" -m venv --clear "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check "uv==$uv_version"
    uv() { VIRTUAL_ENV=$environment "$environment/bin/uv" --quiet "$@"; }
    uv export --frozen --no-dev --no-emit-project --no-hashes --directory "$top" --output-file "$environment/lock.txt"
    if [ "$mode" = prefect ]; then
      # Starting a run needs little of it; the rest is taken from the checkout as it is.
      uv pip install --constraint "$environment/lock.txt" click cronsim httpx pydantic
      echo "$top" > "$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/modelflight.pth"
    else
      uv pip install --constraint "$environment/lock.txt" "$top" ${REQUIREMENTS:+--requirements "$REQUIREMENTS"}
    fi
    touch "$environment/complete"
  fi
  echo "::endgroup::"
fi
echo "python=$environment/bin/python" >> "$GITHUB_OUTPUT"
