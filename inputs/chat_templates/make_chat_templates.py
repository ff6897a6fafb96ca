#!/usr/bin/env python3
"""Fills in what transformers makes of every template here; the templates and conversations themselves are kept.

    pip install transformers jinja2 numpy && python make_chat_templates.py

models/NAME.json    "template", "special_tokens", and "cases": [conversation, variables, text or error]
language.json       made whole from language_cases.py: [name, template, text or error]
An error of raise_exception has its message; any other one has the template's line, if Jinja2 knows it.
"""

import json
import traceback
from pathlib import Path

import jinja2
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

import language_cases

HERE = Path(__file__).parent
CONVERSATIONS = json.loads((HERE / "conversations.json").read_text())


def line_of(error):
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.lineno
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename in ("<template>", "<unknown>")]
    return lines[-1] if lines else None


def outcome(render):
    try:
        return {"text": render()}
    except jinja2.TemplateSyntaxError as error:
        return {"line": line_of(error)}
    except jinja2.TemplateError as error:
        raised = type(error) is jinja2.TemplateError
        return {"raised": str(error)} if raised else {"line": line_of(error)}
    except Exception as error:  # what Python throws when a template does what values cannot
        return {"line": line_of(error)}


def wanted(name):
    """The conversations and variables that a model's template is tried on."""
    for conversation in CONVERSATIONS["conversations"]:
        tools = conversation.startswith("tools")
        yield conversation, {"add_generation_prompt": not conversation.endswith("answered"), "tools": tools}
    yield "system", {"add_generation_prompt": True, "tools": True}
    if name == "chatml-tools":
        for flag in (True, False):
            yield "reasoning", {"add_generation_prompt": True, "tools": False, "enable_thinking": flag, "thinking": flag}


def model_cases(name, model):
    for conversation, variables in wanted(name):
        given = dict(variables, **({"date_string": "21 Nov 2026"} if name == "headers-and-date" else {}))
        extra = {k: v for k, v in given.items() if k not in ("tools", "add_generation_prompt")}

        def render():
            rendered = render_jinja_template(
                [CONVERSATIONS["conversations"][conversation]],
                tools=CONVERSATIONS["tools"] if variables["tools"] else None,
                chat_template=model["template"],
                add_generation_prompt=variables["add_generation_prompt"],
                **model["special_tokens"], **extra)
            return (rendered[0] if isinstance(rendered, tuple) else rendered)[0]

        yield {"conversation": conversation, "variables": given, **outcome(render)}


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def main():
    for path in sorted((HERE / "models").glob("*.json")):
        model = json.loads(path.read_text())
        write(path, {**model, "cases": list(model_cases(path.stem, model))})
    variables = language_cases.VARIABLES
    cases = [{"name": name, "template": template,
              **outcome(lambda: _compile_jinja_template(template).render(**variables))}
             for name, template in language_cases.cases()]
    write(HERE / "language.json", {"variables": variables, "cases": cases})


if __name__ == "__main__":
    main()
