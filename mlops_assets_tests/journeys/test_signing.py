"""The command that people are shown signs with the key they have, and so does OpenSSH alone."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from html import unescape

from click.testing import CliRunner

from mlops_assets.cli import main
from mlops_assets.domain.occasion import sign_command
from mlops_assets_tests.fakes import ssh
from mlops_assets_tests.journeys.people import ENGINEER, commit

KEY = "P001/C001"
ANN = "ann@example.com"


def mlops(home, *words):
    """Run a command in this process; returns its document."""
    done = CliRunner().invoke(main, ["--home", str(home), "--json", *words])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def retirement(home):
    """Commit that a circuit is no longer wanted, and cut the release of that."""
    config = home / "config"
    (config / "plants" / f"{KEY}.yml").unlink()
    master = config / "plants_circuits.yml"
    master.write_text(master.read_text().replace("C001, ", ""))
    commit(config, "Retire a circuit")
    return mlops(home, "release", "create", "--circuit", KEY)["release"]


def signed_by(home, made):
    return [each["principal"] for each in mlops(home, "release", "show", made)["signatures"]]


def test_what_the_page_and_the_alert_show_signs_with_a_key_in_an_agent(
    demo_home, tmp_path, monkeypatch
):
    folder = tmp_path / "ann" / ".ssh"
    folder.mkdir(parents=True)
    key = ssh.generate(folder / "id_ed25519")
    mlops(demo_home, "trust", "add-person", ANN, "--role", "ml_engineer")
    mlops(demo_home, "trust", "add-key", ANN, f"{key}.pub")
    made = retirement(demo_home)
    page = demo_home / mlops(demo_home, "release", "show", made)["page"]
    (command,) = re.findall(r"<pre>(mlops release approve .*?)</pre>", page.read_text())
    assert unescape(command) == sign_command(made, "registry")

    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "never")
    with ssh.agent(tmp_path / "agent") as environment:
        ssh.add(key, {**environment, **ssh.typed(tmp_path)})
        monkeypatch.setenv("SSH_AUTH_SOCK", environment["SSH_AUTH_SOCK"])
        # The home folder is `~` still, as it is where no shell says what that means.
        assert mlops(demo_home, *shlex.split(unescape(command))[1:])["accepted"]
    assert signed_by(demo_home, made) == [ANN]


def test_a_statement_signed_on_another_machine_counts_with_the_line_ends_of_windows(
    demo_home, tmp_path
):
    made = retirement(demo_home)
    about = (made, "--stage", "registry")
    statement = tmp_path / "statement.json"
    mlops(demo_home, "release", "request", *about)
    mlops(demo_home, "release", "statement", *about, "--as", ENGINEER, "--out", str(statement))
    page = demo_home / mlops(demo_home, "release", "show", made)["page"]
    (command,) = re.findall(r"<pre>(ssh-keygen -Y sign .*?)</pre>", page.read_text())
    key = demo_home / "demo_keys" / ENGINEER
    words = shlex.split(unescape(command).replace("~/.ssh/id_ed25519", str(key)))
    subprocess.run(words, check=True, cwd=tmp_path, capture_output=True)
    signature = tmp_path / "statement.json.sig"
    signature.write_bytes(signature.read_bytes().replace(b"\n", b"\r\n"))
    assert mlops(demo_home, "release", "submit", str(statement), str(signature))["accepted"]
    assert signed_by(demo_home, made) == [ENGINEER]
