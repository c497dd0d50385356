"""Chat templates of the families' formats, reduced to what matters here: tools, calls, results, reasoning."""

from __future__ import annotations

HERMES = """\
{% if tools %}<|im_start|>system
Answer with <tool_call>{"name": ..., "arguments": ...}</tool_call> to call one of
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{% for m in messages %}
{% if m.role == 'tool' %}<|im_start|>user
<tool_response>{{ m.content }}</tool_response><|im_end|>
{% else %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and m.reasoning_content %}<think>
{{ m.reasoning_content }}
</think>

{% endif %}{{ m.content }}{% for call in m.tool_calls %}

<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endif %}
{% endfor %}
{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}{% endif %}"""

OPENED = HERMES.replace("<think>\n\n</think>\n\n", "").replace(
    "{% if add_generation_prompt %}<|im_start|>assistant\n",
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n",
)
"""The same, where the template opens the reasoning."""

TAGS = """\
{% macro shown(v) %}{{ v if v is string else v | tojson }}{% endmacro %}
{% if tools %}Call as <tool_call><function=name><parameter=key>value</parameter></function></tool_call>:
{% for tool in tools %}{{ tool.function.name }} {{ tool.function.parameters.properties | list | join(' ') }}
{% endfor %}{% endif %}
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for call in m.tool_calls %}

<tool_call>
<function={{ call.function.name }}>
{% for key, value in call.function.arguments | items %}
<parameter={{ key }}>
{{ shown(value) }}
</parameter>
{% endfor %}
</function>
</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

LLAMA3 = """\
{% if tools is not none %}Respond as {"name": function, "parameters": its arguments}, with one of
{% for tool in tools %}{{ tool | tojson(indent=4) }}
{% endfor %}{% endif %}
{% for m in messages %}
{% if m.tool_calls %}
{% if m.tool_calls | length > 1 %}{{ raise_exception('This model only calls one tool at once') }}{% endif %}
<|start_header_id|>assistant<|end_header_id|>

{% for call in m.tool_calls %}
{"name": "{{ call.function.name }}", "parameters": {{ call.function.arguments | tojson }}}<|eot_id|>{% endfor %}
{% elif m.role == 'tool' %}<|start_header_id|>ipython<|end_header_id|>

{{ {'output': m.content} | tojson }}<|eot_id|>
{% else %}<|start_header_id|>{{ m.role }}<|end_header_id|>

{{ m.content | trim }}<|eot_id|>
{% endif %}
{% endfor %}
{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""

MISTRAL = """\
{{ bos_token }}{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}
{% for m in messages %}
{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]
{% elif m.role == 'tool' %}{% if m.tool_call_id | length != 9 %}{{ raise_exception('ids have 9 letters') }}{% endif %}
[TOOL_RESULTS]{{ m.tool_call_id }}[TOOL_CONTENT]{{ m.content }}[/TOOL_RESULTS]
{% else %}{% if m.reasoning_content %}[THINK]{{ m.reasoning_content }}[/THINK]{% endif %}{{ m.content }}
{% for call in m.tool_calls %}
[TOOL_CALLS]{{ call.function.name }}[ARGS]{{ call.function.arguments | tojson }}{% endfor %}{{ eos_token }}
{% endif %}
{% endfor %}"""

OLMO3 = """\
<|im_start|>system
{% if tools %}Write calls between <function_calls> and </function_calls>. <functions>{{ tools | tojson }}</functions>
{% endif %}<|im_end|>
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% if m.tool_calls %}<function_calls>
{% for call in m.tool_calls %}
{{ call.function.name }}({% for key, value in call.function.arguments.items() %}{{ key }}={{ value | tojson }}
{%- if not loop.last %}, {% endif %}{% endfor %})
{% endfor %}
</function_calls>{% endif %}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

LFM2 = """\
{% if tools %}<|im_start|>system
List of tools: <|tool_list_start|>{{ tools | tojson }}<|tool_list_end|><|im_end|>
{% endif %}
{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.content is not string %}{{ m.content[0].text }}{% else %}{{ m.content }}{% endif %}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

GRANITE = """\
{% if tools %}<|start_of_role|>tools<|end_of_role|>{{ tools | tojson }}: answer with <|tool_call|> and a list.
{% endif %}
{% for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|end_of_text|>
{% endfor %}
{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"""

HARMONY = """\
{% if tools %}<|start|>developer<|message|>namespace functions {
{% for tool in tools %}type {{ tool.function.name }} = {{ tool.function.parameters | tojson }};
{% endfor %}}<|end|>{% endif %}
{% for m in messages %}
{% if m.role == 'assistant' %}
{% if m.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}<|end|>{% endif %}
{% for call in m.tool_calls %}<|start|>assistant<|channel|>commentary to=functions.{{ call.function.name }} {# -#}
<|constrain|>json<|message|>{{ call.function.arguments | tojson }}<|call|>{% endfor %}
{% if m.content %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>{% endif %}
{% elif m.role == 'tool' %}<|start|>functions.{{ m.name }} to=assistant<|channel|>commentary<|message|>{# -#}
{{ m.content | tojson }}<|end|>
{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}
{% endfor %}
{% if add_generation_prompt %}<|start|>assistant{% endif %}"""

TEXTS = """\
{{ tools }}{% for m in messages %}<|User|>{{ m.content }}{% for call in m.tool_calls %}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ '' + call.function.arguments }}}</tool_call>{% endfor %}
{% endfor %}"""
"""A template that takes arguments as JSON text."""

TEMPLATES = {
    "hermes": HERMES,
    "tags": TAGS,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "olmo3": OLMO3,
    "lfm2": LFM2,
    "granite": GRANITE,
    "harmony": HARMONY,
}
