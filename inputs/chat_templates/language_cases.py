"""Templates that try the language; make_chat_templates.py makes language.json of them."""

VARIABLES = {
    "s": "Hello, Wörld", "n": 5, "f": 2.5, "z": None, "t": True, "l": [3, 1, 2], "e": [], "big": 1e20, "neg": -7,
    "d": {"b": 1, "a": {"x": "y"}, "items": 7}, "sp": "  a b  \n", "uni": "日本語 ß ǅ", "q": "it's \"q\"",
    "nested": [[1, 2], [3, 4]],
    "m": [{"role": "user", "content": "hi", "k": 1}, {"role": "assistant", "content": "yo", "k": 2},
          {"role": "user", "content": "x y", "k": 3}]}

# One template per line under each name.
ONE_LINE = {
    "values_printed": r"""
{{ s }}|{{ n }}|{{ f }}|{{ z }}|{{ t }}|{{ l }}|{{ d }}|{{ big }}|{{ no_such_name }}|
{{ 1e16 }} {{ 1.5e-7 }} {{ 100000.0 }} {{ 1/3 }} {{ 1.0 }} {{ 1e3 }} {{ 123456789012 }} {{ 0.1+0.2 }} {{ 1_000 }}
{{ [1,2,3,][1] }} {{ {'a':1,} }} {{ () }} {{ (1,) }} {{ {'a': {'b': 1}}['a']['b'] }} {{ l.__class__ }}
{{ 'unicode \u00e9 \x41 \'q\' \\ \d' }} {{ "tab\there" }} {{ 'a' 'b' 'c' }}
""",
    "arithmetic": r"""
{{ 7//2 }} {{ -7//2 }} {{ -7%3 }} {{ 7%-3 }} {{ 2**10 }} {{ 2**-1 }} {{ 7.5%2 }}
{{ 1+2*3-4 }} {{ -2**2 }} {{ 2**3**2 }} {{ 10 // 3 * 3 + 10 % 3 }} {{ (l|length) + 1 }} {{ l|length + 1 }}
{{ "a" "b" ~ 1 ~ none ~ true ~ 2.0 }} {{ 'x'*3 }} {{ [1]*2 }} {{ [1]+[2] }} {{ (1,2)+(3,) }}
""",
    "comparison": r"""
{{ not 1==2 }} {{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' in 'abc' }} {{ 1 not in l }} {{ 'b' in d }} {{ 'x' in undef }}
{{ 'a' < 'b' }} {{ [1,2] < [1,3] }} {{ 1 == 1.0 }} {{ true == 1 }} {{ '1' == 1 }} {{ none == u }} {{ u == uu }}
{{ (1 > 2) or (3 and 4) }} {{ 0 or '' or none }} {{ not u }} {{ 1 if t else 2 }}{{ 1 if not t }}
{{ 'a' if z else 'b' if t else 'c' }}{{ z|list if z else 'no' }}{{ 3 if loop is defined and loop.first else 4 }}
""",
    "slices": r"""
{{ l[0] }}{{ l[-1] }}{{ l[9] }}{{ l[1:] }}{{ l[::-1] }}{{ s[1:4] }}{{ s[::-1] }}{{ s[-3:] }}{{ l[:-1] }}{{ l[5:] }}
{{ s[0] }}{{ uni[0] }}{{ l[::2] }}{{ l[-2::-1] }}{{ l[-9:9] }}{{ uni[1:-1] }}{{ d.a.x.upper().lower()[0:1] }}
""",
    "fields": r"""
{{ d.b }}{{ d['a'].x }}{{ d.a['x'] }}{{ d.nope }}{{ d['items'] }}{{ d.get('nope') }}{{ d.get('nope', 3) }}
{{ d.keys()|list }}{{ d.values()|list }}{{ d.items()|list }}{{ d['a']['x'] is string and not d['b'] is string }}
""",
    "text_methods": r"""
{{ s.upper() }} {{ s.title() }} {{ uni.upper() }} {{ "they're bill's".title() }} {{ s.capitalize() }}
[{{ sp.strip() }}][{{ sp.lstrip() }}][{{ sp.rstrip('\n') }}][{{ 'xxaxx'.strip('x') }}]
{{ 'a,b,c'.split(',') }} {{ 'a,b,c'.split(',',1) }} {{ ' a  b '.split() }} {{ ' a  b c'.split(none, 1) }}
{{ 'a,b,c'.rsplit(',',1) }} {{ 'a\nb\r\nc'.splitlines() }} {{ ''.split(',') }} {{ ''.split() }} {{ 'x\x1cy'.split() }}
{{ s.startswith('He') }}{{ s.endswith(('x','ld')) }}{{ s.find('W') }}{{ s.find('zz') }}{{ s.count('l') }}
{{ s.replace('l','L') }}{{ s.replace('l','L',1) }}{{ 'abc'.replace('','-') }}{{ ','.join(['a','b']) }}
{{ "Hi {} {}".format(1, 'x') }} {{ "{0}{1}{0}".format('a','b') }} {{ "{n}".format(n=3) }} {{ "{{}}".format() }}
{{ '12'.isdigit() }}{{ ' '.isspace() }}{{ 'AB'.isupper() }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}
""",
    "text_filters": r"""
{{ s|upper }} {{ s|lower }} {{ s|title }} {{ s|length }} {{ s|capitalize }} {{ uni|title }} {{ "they're bill's"|title }}
[{{ sp|trim }}][{{ 'xxaxx'|trim('x') }}][{{ '\u00a0x\u00a0'|trim }}] {{ 'aXbX'|replace('X','') }}
{{ "a\nb\n\nc"|indent }} {{ "a\nb\n\nc"|indent(2, true) }} {{ "a\nb\n\nc"|indent(2, blank=true) }} {{ "a\nb"|indent('>') }}
{{ '<&>"\''|e }} {{ '<b>'|safe }} {{ 'ab'|center(7) }}| {{ 'a b c'|wordcount }} {{ 5|string ~ 'x' }} {{ l|string }}
{{ ""|indent(first=true) }} {{ "a\n"|indent }} {{ 'abc'|first }}{{ 'abc'|last }}{{ 'abc'|reverse }}{{ 'abc'|join('.') }}
""",
    "list_filters": r"""
{{ l|join('-') }} {{ m|join(', ', attribute='role') }} {{ l|first }}{{ l|last }}{{ e|first }}{{ l|reverse|list }}
{{ l|sort }}{{ l|sort(reverse=true) }}{{ ['b','A','c']|sort }}{{ ['b','A','c']|sort(case_sensitive=true) }}
{{ m|sort(attribute='content')|map(attribute='content')|list }} {{ l|min }}{{ l|max }}{{ l|sum }}{{ m|sum(attribute='k') }}
{{ m|selectattr('role','equalto','user')|list|length }} {{ m|rejectattr('role','eq','user')|map(attribute='content')|join }}
{{ l|select('odd')|list }} {{ l|reject('gt',1)|list }} {{ [0,1,'',2]|select|list }} {{ m|selectattr('k')|list|length }}
{{ m|map(attribute='nope', default='d')|list }} {{ ['a','b']|map('upper')|list }}{{ m|selectattr('nope','defined')|list }}
{{ [1,2,1,'a','A']|unique|list }} {{ d|dictsort }} {{ {'B':1,'a':2}|dictsort }} {{ d|items|list }} {{ m|groupby('role')|list }}
{{ [1,2,3]|batch(2)|list }} {{ [1,2,3]|batch(2,'x')|list }} {{ l | map('string') | join(',') }} {{ none|selectattr('x')|list }}
""",
    "default_filter": r"""
{{ z|default('dz') }}{{ u|default('du') }}{{ z|default('dz', true) }}{{ ''|default('e', boolean=true) }}{{ u|d }}
""",
    "number_filters": r"""
{{ '42'|int }}{{ '4.7'|int }}{{ 'x'|int }}{{ 'x'|int(9) }}{{ 3.9|int }}{{ '0x1f'|int(0,16) }}{{ '1f'|int(0,16) }}
{{ '2.50'|float }}{{ 'x'|float }}{{ 3|float }}{{ neg|abs }}{{ -2.5|abs }}
{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 2.1|round(method='ceil') }} {{ 2.9|round(0,'floor') }} {{ 5|round }}
""",
    "tojson": r"""
{{ l|tojson }} {{ d|tojson }} {{ q|tojson }} {{ uni|tojson }} {{ d|tojson(indent=2) }} {{ e|tojson(indent=2) }} {{ {}|tojson }}
{{ [1.0,true,none,1e20,{"a":[]}]|tojson }} {{ uni|tojson(ensure_ascii=true) }} {{ d|tojson(sort_keys=true) }}
{{ d|tojson(separators=(',',':')) }} {{ nested|tojson(indent=4) }} {{ {1:2, none:3, true:4, 2.5:5}|tojson }} {{ "\n"|tojson }}
{{ "\u0001\t\n\b\f\r/\\<>&'\u2028\u007f" |tojson }} {{ '😀'|tojson(ensure_ascii=true) }} {{ [0.1, 1e-7, 1e16, -0.0]|tojson }}
""",
    "tests": r"""
{{ z is none }}{{ u is defined }}{{ u is undefined }}{{ s is string }}{{ n is number }}{{ t is number }}{{ t is integer }}
{{ n is integer }}{{ f is float }}{{ d is mapping }}{{ l is iterable }}{{ s is iterable }}{{ d is sequence }}{{ n is sequence }}
{{ t is boolean }}{{ t is true }}{{ n is true }}{{ z is not none }}{{ u is none }}{{ n is equalto 5 and t }}{{ l is sameas l }}
{{ n is eq 5 }}{{ n is ne(5) }}{{ n is gt 3 }}{{ n is lessthan 3 }}{{ 'a' is in 'abc' }}{{ n is divisibleby 5 }}
{{ n is odd }}{{ n is even }}{{ 'A' is upper }}{{ 'a' is lower }}{{ n is sameas 5 }}{{ range is callable }}
""",
    "functions": r"""
{{ range(3)|list }}{{ range(5,1,-2)|list }}{{ range(1,3)|list }}{{ dict(a=1,b=2) }}{{ dict([('x',1)]) }}
{% set ns = namespace(x=1, y='a') %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.no }}
""",
    "scopes": r"""
{% set v = 1 %}{% for i in l %}{% set v = v + i %}{{ v }},{% endfor %}{{ v }}{% if t %}{% set inif = 5 %}{% endif %}{{ inif }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (x, y) = (3, 4) %}{{ x }}{{ y }}{% with a=7, c=n %}{{ a }}{{ c }}{% endwith %}{{ a }}
{% set blk %}  inner {{ n }} {% endset %}[{{ blk }}]{% set blk2 | trim | upper %}  inner {% endset %}[{{ blk2 }}]
{% filter upper %}abc{{ s }}{% endfilter %}{% generation %}gen{{ n }}{% endgeneration %}
""",
    "loops": r"""
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }};{% endfor %}
{% for i in l %}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a','b') }};{% endfor %}
{% for i in l if i > 1 %}{{ i }}/{{ loop.length }} {% else %}none{% endfor %}{% for i in [] %}x{% else %}empty{% endfor %}
{% for i in l if i > 10 %}x{% else %}nope{% endfor %}{% for i in undef %}x{% endfor %}{% for c in 'añ' %}{{ c }}.{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, (a, b) in [(1,(2,3))] %}{{ k }}{{ a }}{{ b }}{% endfor %}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for a in l %}{% for b in l %}{{ loop.depth }}{{ loop.index }}{% endfor %}{% endfor %}{% for x in [1,1,2] %}{{ loop.changed(x) }}{% endfor %}
""",
    "macros": r"""
{% macro m(a, b=2, c='z') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c='q') }}{{ m() }}{{ m(b=1,a=5)|upper }}
{% macro m(a) %}[{{ a }}]{% endmacro %}{% set r = m(7) %}{{ r }}{{ m(1) ~ 'x' }}{{ m(1)|length }}
{% macro o() %}<{{ caller() }}>{% endmacro %}{% call o() %}body{{ n }}{% endcall %}{% macro p() %}{{ caller(1,2) }}{% endmacro %}{% call(a, b) p() %}{{ a + b }}{% endcall %}
{% macro rec(k) %}{{ k }}{% if k > 0 %}{{ rec(k-1) }}{% endif %}{% endmacro %}{{ rec(4) }}
""",
    "undefined": r"""
{{ u ~ 'x' }} {{ [u]|length }} {{ u|length }} {{ u|list }} {{ u|upper }} {{ u|join }} {{ u is mapping }} {{ u|default('d') }}
""",
    "white_space": r"""
{% raw %}{{ not }} {% rendered %}{% endraw %}|{# comment #}|{#- c -#} |
{%- if true -%}  x  {%- endif -%}   |   {{- 1 -}}   |
   {%+ if true %} keep{% endif %}
""",
}

MANY_LINES = {
    "block_lines_vanish": "{% for x in l %}\n  {{ x }}\n{% endfor %}\nend\n",
    "indented_blocks": "a\n  {% if t %}\n  b\n  {% endif %}\n c\n\n",
    "minus_on_both_sides": "{%- for m in m %}\n  {%- if m.role == 'user' %}\n    U:{{ m.content }}\n  {%- else %}\n"
                           "    A\n  {%- endif %}\n{%- endfor %}\n",
    "plus_keeps_the_line": "   {% if true +%}\n plus\n   {% endif %}\nx",
    "carriage_returns": "x\r\n{% if t %}\r\ny{% endif %}\r\n",
    "sets_on_one_line": "  {% set a = 1 %}  {% set b = 2 %}\n{{ a }}",
    "comment_lines": "{# c #}\n\nx\n  {{ 1 }}\n  {#- a #}\n {# b -#}  \n z",
    "expressions_keep_lines": "\n{{ 1 }}\n\n{{ 2 }}\n",
    "raw_lines": "{% raw %}\n {{x}}\n {% endraw %}\ny{%- raw -%}\n {{x}}\n {%- endraw -%}\ny",
    "minus_inside": "a{% if t -%}\n\n b{%- endif %}\n\nc{% if t %}\n\nx{% endif %}",
    "set_block_lines": "{% set x %}\n a\n{% endset %}\n[{{ x }}]",
    "macro_lines": "{% macro m(a) -%}\n  {{ a }}\n{%- endmacro %}\n[{{ m(1) }}]",
    "tabs_before_blocks": " \t{% if t %}x{% endif %}\t \n y",
}

ERRORS = {
    "raised": "a\n{{ raise_exception('boom é') }}",
    "raised_with_value": "{{ raise_exception('no ' ~ m[0].role) }}",
    "field_of_undefined": "line 1\n\n{{ u.x }}",
    "call_of_undefined": "{% if t %}\n{{ u() }}\n{% endif %}",
    "text_plus_number": "{{ 1 + 'a' }}",
    "undefined_plus_number": "\n{{ u + 1 }}",
    "text_less_than_number": "{{ 'a' < 1 }}",
    "text_minus_number": "{{ 'abc' - 1 }}",
    "minus_list": "{{ -l }}",
    "division_by_zero": "{% for i in l %}\n{{ 1/0 }}\n{% endfor %}",
    "field_of_field_of_none": "{{ z.foo.bar }}",
    "field_of_missing_field": "{{ {}.a.b }}",
    "index_of_missing_key": "{{ l['x'].y }}",
    "length_of_none": "{{ z|length }}",
    "undefined_in_json": "{{ [u]|tojson }}",
    "join_of_numbers": "{{ 'x'.join([1]) }}",
    "long_range": "{{ range(10000000) }}",
    "unpack_a_number": "{% for a,b in [1] %}{% endfor %}",
    "unpack_too_many": "{% for a,b in [(1,2,3)] %}{% endfor %}",
    "too_many_arguments": "{% macro a(b) %}{% endmacro %}\n{{ a(1,2) }}",
    "unknown_argument": "{% macro a(b) %}{% endmacro %}{{ a(c=2) }}",
    "list_is_immutable": "{{ l.append(1) }}",
    "dictionary_is_immutable": "{{ d.update({}) }}",
    "set_field_of_a_list": "{% set l.x = 1 %}",
    "deep_inside": "{% for m in m %}\n{% if loop.last %}\n  x\n  {{ m.a.b }}\n{% endif %}\n{% endfor %}",
    "in_a_macro": "{% macro f(x) %}\n\n{{ x.y.z }}\n{% endmacro %}\n{{ f({}) }}",
    "endless_recursion": "{% macro f(x) %}{{ f(x) }}{% endmacro %}\n{{ f(1) }}",
    "for_without_items": "a\n{% for %}",
    "if_without_condition": "{% if %}x{% endif %}",
    "unknown_statement": "a\nb\n{% foo %}",
    "unknown_filter": "\n{{ x | nofilter }}",
    "unknown_test": "{{ x is notest }}",
    "open_if": "x {% if t %} y",
    "open_expression": "{{ 1",
    "open_text": "{{ 'a }}",
    "open_bracket": "{{ (1 }}",
    "open_comment": "{# x",
    "end_without_begin": "\n\n{% endif %}",
    "break_outside_a_loop": "{% break %}",
    "set_without_value": "{% set x = %}",
    "empty_expression": "{{ }}",
    "two_values": "{{ a b }}",
    "unknown_do": "{% do x %}",
}


def cases():
    for name, lines in ONE_LINE.items():
        for i, line in enumerate(lines.strip("\n").split("\n")):
            yield f"{name}_{i}", line
    yield from MANY_LINES.items()
    for name, template in ERRORS.items():
        yield "error_" + name, template
