"""Working copies of repositories on the Git server."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.system.testbed.command import output
from tests.system.testbed.gitea import USER, Gitea


@dataclass(frozen=True)
class WorkingCopy:
    """A folder whose commits are pushed to the branch main of `repository` on the Git server."""

    folder: Path
    gitea: Gitea
    repository: str

    @property
    def address(self) -> str:
        """Where it is cloned from."""
        return self.gitea.clone_url(self.repository)

    def publish(self, content: Path, replaced: Mapping[str, str]) -> str:
        """Makes the repository with the files of `content`, in whose YAML texts are replaced; its commit."""
        shutil.copytree(content, self.folder)
        for file in self.folder.rglob("*.yaml"):
            text = file.read_text()
            for old, new in replaced.items():
                text = text.replace(old, new)
            file.write_text(text)
        self.gitea.create_repository(self.repository)
        self.git("init", "--quiet", "--initial-branch=main")
        for setting, value in (("name", "Ada"), ("email", f"{USER}@example.com")):
            self.git("config", f"user.{setting}", value)
        self.git("remote", "add", "origin", self.address)
        return self.push(f"The example's {self.repository}")

    def change(self, file: str, old: str, new: str) -> None:
        """Replaces a text that is there."""
        text = (self.folder / file).read_text()
        assert old in text, (file, old)
        (self.folder / file).write_text(text.replace(old, new))

    def push(self, message: str) -> str:
        """Commits what was changed, and pushes it; the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")
        self.git("push", "--quiet", "--set-upstream", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def pull(self) -> str:
        """Takes over what others pushed; the commit."""
        self.git("pull", "--quiet")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        """What Git says in the folder, with the administrator's credentials."""
        said = output("git", *arguments, environment=self.gitea.git_environment(), folder=self.folder)
        return said.strip()
