"""Random JSON schemas over the keywords that src/grammar/README.md lists, small enough that random text ends."""

WORDS = ["a", "b", "name", "é", "x y", "q\"uote", "1"]
PATTERNS = ["^[a-c]{1,4}$", "^\\d+(\\.\\d{2})?$", "b|^c", "^(foo|bar)-[^\"\\\\]?$", "^\\w\\s?$", "^.{0,3}$", "[α-ω]"]
FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "ipv6", "email", "duration", "hostname", "uri"]


def string(random):
    kind = random.randrange(4)
    if kind == 0:
        return {"type": "string", "pattern": random.choice(PATTERNS)}
    if kind == 1:
        return {"type": "string", "format": random.choice(FORMATS)}
    if kind == 2:
        return {"type": "string", "pattern": "^[ab\n]*$", "minLength": random.randrange(3), "maxLength": random.randint(2, 5)}
    return {"type": "string", "minLength": random.randrange(3), "maxLength": random.randint(2, 8)}


def number(random):
    schema = {"type": random.choice(["integer", "number"])}
    least = random.choice([None, -1000, -3, 0, 1, 7, 0.5, -2.25, 123456])
    if least is not None:
        schema[random.choice(["minimum", "exclusiveMinimum"])] = least
    if random.random() < 0.6:
        schema[random.choice(["maximum", "exclusiveMaximum"])] = (least or 0) + random.choice([2.5, 3, 10, 999])
    if random.random() < 0.2:
        schema["multipleOf"] = random.choice([1, 2])
    return schema


def listed(random):
    values = [None, True, False, 0, -1, 2.5, "", "a\nb", "é", "\"", [1, [2]], {"k": "v"}]
    return random.choice([{"const": random.choice(values)}, {"enum": random.sample(values, random.randint(1, 5))}])


def array(random, depth):
    if random.random() < 0.3:
        schema = {"type": "array", "prefixItems": [any_schema(random, depth - 1) for _ in range(random.randint(1, 3))]}
        return {**schema, "items": random.choice([False, any_schema(random, depth - 1)]), "maxItems": random.randint(1, 4)}
    least = random.randrange(3)
    return {"type": "array", "items": any_schema(random, depth - 1), "minItems": least, "maxItems": least + random.randrange(3)}


def object_(random, depth):
    names = random.sample(WORDS, random.randint(0, 4))
    schema = {"type": "object", "properties": {name: any_schema(random, depth - 1) for name in names}}
    schema["required"] = [name for name in names if random.random() < 0.6]
    kind = random.randrange(4)
    if kind == 0:
        schema["additionalProperties"] = False
    elif kind == 1:
        schema["additionalProperties"] = {"type": "boolean"}
    return schema


def tagged(random, depth):
    """Alternatives that a required constant tells apart."""
    def one(tag):
        schema = object_(random, depth)
        schema["properties"] = {"kind": {"const": tag}, **schema["properties"]}
        schema["required"] = ["kind"] + schema["required"]
        return schema
    return {"oneOf": [one(tag) for tag in ("first", "second", "third")[:random.randint(1, 3)]]}


def any_schema(random, depth):
    kinds = [string, number, listed, lambda r: {"type": r.choice(["boolean", "null", ["boolean", "null"]])}]
    if depth > 0:
        kinds += [lambda r: array(r, depth), lambda r: object_(r, depth), lambda r: object_(r, depth), lambda r: tagged(r, depth),
                  lambda r: {"anyOf": [any_schema(r, depth - 1) for _ in range(r.randint(1, 3))]},
                  lambda r: {"$ref": "#/$defs/tree"},
                  lambda r: {"allOf": [{"type": "integer", "minimum": r.randrange(5)}, {"type": "number", "maximum": 9}]}]
    return random.choice(kinds)(random)


def schema(random):
    """A schema whose root is an object, with one recursive definition beside it."""
    root = object_(random, 2)
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    root["title"] = "random"
    root["$defs"] = {"tree": {"type": "object", "properties": {"left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
                              "required": ["left"], "additionalProperties": False}}
    return root
