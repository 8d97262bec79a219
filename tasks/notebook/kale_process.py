"""Program that turns one notebook into KFP IR with Kale. Started by `compile.py`, never imported.

Kale gets a process of its own because importing it replaces Python's logger class and writes below the
current folder. Standard input carries a JSON request: `notebook` (path), `name` (pipeline's name),
`text_parameters` (names), `packages` (list of requirements, or null for what the imports say). The IR is
written to `pipeline.yaml` and an error to `error.txt`, both in the current folder.
"""

import ast
import json
import re
import sys
from pathlib import Path

_BLOCK = re.compile(r"(_kale_pipeline_parameters_block = f''')(.*?)(''')", re.DOTALL)
_ASSIGNMENT = re.compile(r"^(\s*\w+ = )'?\{ ?(\w+) ?\}'?$", re.MULTILINE)


def quote_parameters(dsl: str) -> str:
    """Kale's DSL with every parameter inserted as a Python literal.

    Kale writes `name = '{ name }'`, so that a quote in the value would end the string and the rest would run.

    Raises:
        ValueError: the DSL has another form than Kale 2.3 gives it.
    """
    quoted = _BLOCK.sub(lambda block: block[1] + _ASSIGNMENT.sub(r"\1{\2!r}", block[2]) + block[3], dsl)
    for node in ast.walk(ast.parse(quoted)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_kale_pipeline_parameters_block":
            for value in node.value.values if isinstance(node.value, ast.JoinedStr) else ():
                if isinstance(value, ast.FormattedValue) and value.conversion != ord("r"):
                    raise ValueError("a parameter of the generated pipeline is not quoted")
    return quoted


def compile_notebook(
    notebook: str, name: str, text_parameters: list[str], packages: list[str] | None
) -> None:
    """Writes the notebook's IR to `pipeline.yaml` in the current folder."""
    from kale.common.kfputils import compile_pipeline
    from kale.compiler import Compiler
    from kale.processors.nbprocessor import NotebookProcessor

    processor = NotebookProcessor(notebook, {"pipeline_name": name, "experiment_name": name})
    pipeline = processor.run()
    # Values are put into the IR afterwards: as defaults in generated Python and in the IR's comments, text
    # with a newline would break out.
    pipeline.override_pipeline_parameters_from_kwargs(**dict.fromkeys(text_parameters, ""))
    compiler = Compiler(pipeline, processor.get_imports_and_functions())
    if packages is not None:
        compiler._get_package_list_from_imports = lambda: packages
    dsl = Path(compiler.compile())
    dsl.write_text(quote_parameters(dsl.read_text(encoding="utf-8")), encoding="utf-8")
    Path(compile_pipeline(str(dsl), name)).rename("pipeline.yaml")


if __name__ == "__main__":
    try:
        compile_notebook(**json.load(sys.stdin))
    except Exception as error:  # noqa: BLE001 - Kale raises any type; the parent process explains it
        # The message of these says what is wrong; that of a KeyError, say, is no sentence.
        plain = isinstance(error, ValueError | RuntimeError) and str(error)
        reason = str(error) if plain else f"{type(error).__name__}: {error}"
        if isinstance(error, SyntaxError):  # its line counts in code that Kale has put together
            reason = f"{error.msg}: {(error.text or '').strip()}"
        Path("error.txt").write_text(reason, encoding="utf-8", errors="backslashreplace")
        sys.exit(1)
