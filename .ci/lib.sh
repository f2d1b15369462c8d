# Shared by the parts of the gate: a scratch folder, copies of the checkout, interpreters, and the README's commands.
# Source it first; it changes to the root of the checkout.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Without bytecode each of the thousand processes that the tests start would compile the package anew: 0.2 s each.
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH PYTEST_ADDOPTS PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYRIGHT_PYTHON_IGNORE_WARNINGS=1
export DEBIAN_FRONTEND=noninteractive

# `run` shares its scratch folder with the parts; a part that is called alone makes and removes its own.
if [ -n "${GATE_SCRATCH:-}" ]; then
    scratch=$GATE_SCRATCH
else
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/aioverseer-gate-XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    export GATE_SCRATCH=$scratch # parts that this one calls use it too
fi

failed=()

say() { printf '\n== %s\n' "$*"; }

# End a part: one line, and exit code 1 when something is in `failed`.
finish() {
    if [ ${#failed[@]} -gt 0 ]; then
        printf 'FAILED: %s\n' "${failed[@]}"
        exit 1
    fi
    printf '%s\n' "$*"
}

# Print the shell block of README.md that follows the comment <!-- $1 -->.
readme_command() {
    awk -v mark="^<!-- $1 -->[ \\t]*\$" '
        $0 ~ mark { wanted = 1; next }
        inside && /^```[ \t]*$/ { closed = 1; exit }
        inside { print; next }
        wanted && /^```sh[ \t]*$/ { inside = 1; next }
        wanted && NF { exit }
        END { exit !closed }
    ' README.md || { echo "README.md has no \`\`\`sh block after <!-- $1 -->" >&2; return 1; }
}

# Print each interpreter that may be usable. Some are shims that fail, some are the same one again.
candidates() {
    type -aP python3 || true
    local minor root found
    for minor in {11..30}; do type -aP "python3.$minor" || true; done
    root=${PYENV_ROOT:-$(pyenv root 2>/dev/null || true)}
    if [ -n "$root" ]; then
        for found in "$root"/versions/*/bin/python3; do [ -x "$found" ] && echo "$found"; done
    fi
    true
}

# Print "3.MINOR EXECUTABLE" lines, oldest first: the first of each version that can make a virtual environment.
find_pythons() {
    local seen=' ' found minor executable
    while read -r found; do
        read -r minor executable < <("$found" -c '
import sys
if sys.version_info >= (3, 11):
    print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) || continue
        case $seen in *" $minor "*) continue ;; esac
        if "$executable" -m venv "$scratch/probe" >/dev/null 2>&1; then
            seen+="$minor "
            echo "$minor $executable"
        else
            echo "skipped: $executable cannot make a virtual environment" >&2
        fi
        rm -rf "$scratch/probe"
    done < <(candidates) | sort -t. -k2n
}

# The same, looked for once for all parts of a run.
pythons() {
    [ -e "$scratch/pythons" ] || { find_pythons >"$scratch/pythons.new" && mv "$scratch/pythons.new" "$scratch/pythons"; }
    [ -s "$scratch/pythons" ] || { echo "no Python 3.11 or later on this machine" >&2; return 1; }
    cat "$scratch/pythons"
}

oldest() { pythons | head -n 1; }
newest() { pythons | tail -n 1; }

# Copy what git knows, and new files that are not ignored. The copy is a repository too, for tests that ask git.
copy_to() {
    mkdir -p "$1"
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do
            if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
        done |
        tar --null --files-from=- -cf - | tar -C "$1" -xf -
    git -C "$1" init -q
    git -C "$1" add -A
}

# Set $project and $venv: a copy of the checkout, installed with the extra "dev" for the oldest Python. Made once for all parts.
development() {
    project=$scratch/dev/project venv=$scratch/dev/venv
    [ -e "$scratch/dev/ready" ] && return
    local minor executable
    read -r minor executable < <(oldest)
    copy_to "$project"
    "$executable" -m venv "$venv"
    "$venv/bin/pip" install -qq -e "$project[dev]"
    touch "$scratch/dev/ready"
}

# Run commands at the same time, one for each line of standard input, in $project; print their outputs one after the other.
together() {
    local commands=() pids=() number command
    while read -r command; do
        (cd "$project" && PATH="$venv/bin:$PATH" exec bash -c "$command") >"$scratch/together-${#commands[@]}" 2>&1 </dev/null &
        commands+=("$command") pids+=($!)
    done
    for number in "${!commands[@]}"; do
        wait "${pids[number]}" || failed+=("${commands[number]}")
        printf '$ %s\n' "${commands[number]}"
        cat "$scratch/together-$number"
    done
}

# Run pytest in $project with the development environment. -p no:cacheprovider: the copy is shared by parts.
pytest_here() {
    (cd "$project" && timeout --kill-after=10 "$LIMIT" "$venv/bin/python" -m pytest -q -p no:cacheprovider "$@" </dev/null)
}
