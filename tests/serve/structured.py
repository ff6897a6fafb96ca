"""Output that has a given form: response_format and structured_outputs, by the openai package; whatever is finished
parses and satisfies its schema."""
import concurrent.futures
import json
import os
import random
import re
import tempfile
import typing
import unittest

import harness
import random_schemas

try:
    import jsonschema
    import openai
    import pydantic
except ImportError:
    harness.skip_all("needs the Python packages openai and jsonschema; tests/run.sh installs them")

SCHEMAS = int(os.environ.get("WINDLASS_TEST_SCHEMAS", "500"))
CHAT = [{"role": "user", "content": "hi"}]


class Person(pydantic.BaseModel):
    name: typing.Annotated[str, pydantic.Field(max_length=8)]
    age: typing.Annotated[int, pydantic.Field(ge=0, le=120)]
    colour: typing.Literal["red", "green"]
    friends: typing.Annotated[list[typing.Annotated[str, pydantic.Field(pattern="^[a-z]{1,3}$")]], pydantic.Field(max_length=2)]


class Structured(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server("--max-num-seqs", "16")
        cls.addClassCleanup(cls.server.__exit__)
        cls.client = openai.OpenAI(base_url=cls.server.base_url, api_key=cls.server.key, max_retries=0)

    def complete(self, **fields):
        return self.server.json("POST", "/v1/completions", {"prompt": "x", "max_tokens": 40, **fields})["choices"]

    def test_pydantic_models_come_back_parsed(self):
        answer = self.client.chat.completions.parse(model="tiny", messages=CHAT, response_format=Person, n=6, seed=2, max_tokens=300)

        parsed = [choice.message.parsed for choice in answer.choices if choice.finish_reason == "stop"]
        self.assertGreaterEqual(len(parsed), 5)
        for person in parsed:
            self.assertIsInstance(person, Person)

    def test_streams_add_up_to_the_same_form(self):
        fields = {"model": "tiny", "messages": CHAT, "seed": 2, "max_tokens": 300, "response_format": {
            "type": "json_schema", "json_schema": {"name": "person", "schema": Person.model_json_schema()}}}
        whole = self.client.chat.completions.create(**fields)

        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in self.client.chat.completions.create(**fields, stream=True))

        self.assertEqual(streamed, whole.choices[0].message.content)
        Person.model_validate_json(streamed)

    def test_a_response_may_have_a_form(self):
        schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
        answer = self.client.responses.create(model="tiny", input="hi", max_output_tokens=60, text={
            "format": {"type": "json_schema", "name": "verdict", "schema": schema}})

        jsonschema.validate(json.loads(answer.output_text), schema)

    def test_json_mode_gives_objects(self):
        texts = [choice["text"] for choice in self.complete(response_format={"type": "json_object"}, n=16, max_tokens=300, temperature=2)
                 if choice["finish_reason"] == "stop"]

        self.assertGreater(len(texts), 0)
        for text in texts:
            self.assertIsInstance(json.loads(text), dict)

    def test_regular_expressions_and_choices(self):
        for choice in self.complete(structured_outputs={"regex": r"\d{3}-[a-z]{2,5}\n"}, n=8):
            self.assertEqual((choice["finish_reason"], bool(re.fullmatch(r"\d{3}-[a-z]{2,5}\n", choice["text"]))), ("stop", True))
        for fields in ({"structured_outputs": {"choice": ["yes", "no", "maybe so"]}}, {"guided_choice": ["yes", "no", "maybe so"]}):
            answers = self.complete(**fields, n=16, logprobs=1)
            self.assertGreaterEqual({"yes", "no", "maybe so"}, {choice["text"] for choice in answers})

    def test_what_is_not_supported_is_refused_by_name(self):
        for fields, field, words in (
                ({"structured_outputs": {"grammar": "root ::= \"a\""}}, "structured_outputs", "grammar"),
                ({"structured_outputs": {"regex": "(?=a)b"}}, "structured_outputs", "(?:…)"),
                ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs", "exclude"),
                ({"response_format": {"type": "xml"}}, "response_format", "xml"),
                ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object", "minProperties": 2}}}},
                 "response_format", "minProperties")):
            status, _, body = self.server.request("POST", "/v1/completions", {"prompt": "x", **fields})
            error = json.loads(body)["error"]
            self.assertEqual((status, error["param"], error["type"]), (400, field, "invalid_request_error"))
            self.assertIn(words, error["message"])

    def ask(self, seed):
        """(schema, the texts of its finished answers); nothing where the schema has no value."""
        schema = random_schemas.schema(random.Random(seed))
        form = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
        if seed % 2:
            form = {"structured_outputs": {"json": schema, "disable_any_whitespace": seed % 4 == 1}}
        body = {"prompt": "x", "max_tokens": 250, "n": 2, "seed": seed, "temperature": (0.7, 1.5, 0)[seed % 3], **form}
        status, _, answer = self.server.request("POST", "/v1/completions", body)
        if status == 400 and "no finite text" in json.loads(answer)["error"]["message"]:
            return None
        self.assertEqual(status, 200, (schema, answer))
        choices = json.loads(answer)["choices"]
        return schema, [choice["text"] for choice in choices if choice["finish_reason"] == "stop"]

    def test_random_schemas_are_satisfied(self):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = [answer for answer in pool.map(self.ask, range(SCHEMAS)) if answer]

        finished = sum(len(texts) for _, texts in answers)
        for schema, texts in answers:
            for text in texts:
                jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(json.loads(text))
        self.assertGreater(len(answers), SCHEMAS * 0.9)
        self.assertGreater(finished, SCHEMAS)

    def test_batches_give_the_same_output(self):
        bodies = [{"prompt": "x", "max_tokens": 120, "seed": seed, "structured_outputs": {"json": random_schemas.schema(random.Random(seed))}}
                  for seed in range(3)] + [{"prompt": "x", "guided_regex": "[ab]{9}", "seed": 1}]
        with tempfile.TemporaryDirectory() as folder:
            expected = harness.batch(folder, bodies)

        for body, wanted in zip(bodies, expected):
            self.assertEqual(self.server.json("POST", "/v1/completions", body)["choices"], wanted["choices"])


if __name__ == "__main__":
    harness.main()
