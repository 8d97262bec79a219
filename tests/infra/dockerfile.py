"""A Dockerfile's stages and instructions: https://docs.docker.com/reference/dockerfile/."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """A stage: the image it begins with, its name, and its instructions in order."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The arguments of each instruction of that name."""
        return [text for name, text in self.instructions if name == instruction]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        words = [word for text in self.all("ENV") for word in shlex.split(text)]
        return dict(word.split("=", 1) for word in words)

    def copies(self, source: str = "") -> list[tuple[list[str], str]]:
        """What is copied from the context, or from the stage `source`: sources, and where they go."""
        found = []
        for text in self.all("COPY"):
            words = shlex.split(text)
            options = {word for word in words if word.startswith("--")}
            if options == ({f"--from={source}"} if source else set()):
                *sources, target = [word for word in words if word not in options]
                found.append((sources, target))
        return found


@dataclass
class Dockerfile:
    """`arguments` are those before the first stage, with their defaults."""

    arguments: dict[str, str]
    stages: list[Stage]

    @classmethod
    def read(cls, path: Path) -> "Dockerfile":
        """Reads a file."""
        text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
        made = cls({}, [])
        for line in filter(None, re.sub(r"\\\n\s*", "", text).splitlines()):
            name, rest = line.split(None, 1)
            if name == "FROM":
                base, _, stage = rest.partition(" AS ")
                made.stages.append(Stage(base, stage))
            elif made.stages:
                made.stages[-1].instructions.append((name, rest))
            else:
                assert name == "ARG", line
                made.arguments |= [rest.split("=", 1)]
        return made
