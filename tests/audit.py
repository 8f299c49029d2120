"""Known vulnerabilities of what is installed, by pip-audit: exit 1 with each of them. Where no advisories can be reached, it says so."""

from __future__ import annotations

import json
import subprocess
import sys

import click


def main() -> int:
    """Audit this environment."""
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--skip-editable"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        click.echo(
            f"dependencies were not audited: no advisories can be reached ({done.stderr.strip().rpartition(chr(10))[2][:120]})"
        )
        return 0
    known = [
        (one["name"], one["version"], flaw["id"], flaw["fix_versions"])
        for one in found
        for flaw in one.get("vulns", ())
    ]
    for name, version, flaw, fixed in known:
        click.echo(f"{name} {version}: {flaw}, mended in {', '.join(fixed) or 'no release yet'}")
    audited = sum("vulns" in one for one in found)
    if known or audited:
        click.echo(
            f"dependencies audited: {audited} of {len(found)}, with known vulnerabilities: {len({name for name, *_ in known})}"
        )
    else:
        click.echo("dependencies were not audited: the package index has no advisories")
    return 1 if known else 0


if __name__ == "__main__":
    sys.exit(main())
