"""What the golden vectors ask. reference.py says what the answers are."""

import xxhash

from reference import list_bytes, seed_of

KEY = "US-123-checkout"
ON_OFF = {"on": True, "off": False}
COLOURS = {"blue": "#00f", "green": "#0f0", "grey": "#888", "red": "#f00"}
# Where these stand under KEY: see docs/bucketing.md.
BUCKET = {"user-42": 650_570, "42": 296_629, "ünïcödé": 277_160, "Ünïcödé": 913_108, "用户-42": 752_948, " user-42": 143_542}


def flag(key=KEY, rules=(), millionths=0, serve="on", cohorts=(), otherwise=None, **fields):
    rollout = {"cohorts": list(cohorts), "millionths": millionths, "serve": serve}
    if otherwise is not None:
        rollout["otherwise"] = otherwise
    item = {"key": key, "killed": False, "off": "off", "variants": ON_OFF, "enabled": True, "seed": key, "unit": "targetingKey"}
    return {**item, "prerequisites": [], "overrides": {}, "rules": list(rules), "rollout": rollout, **fields}


def colours(**fields):
    return flag(**{"variants": COLOURS, "off": "grey", "serve": "red", **fields})


def rule(*conditions, serve="on", id="rule"):
    return {"id": id, "if": list(conditions), "serve": serve}


def split(*parts):
    return [{"variant": variant, "millionths": millionths} for variant, millionths in parts]


def requires(key, *variants):
    return {"flag": key, "variants": list(variants or ["on"])}


def cohort(key="internal-users", conditions=(), units=None, seed="9e3779b97f4a7c15", unit="targetingKey", **fields):
    item = {"key": key, "unit": unit, "seed": seed, **fields}
    if units is not None:
        hashes = hashes_of(units, seed)
        item["list"] = {"digest": xxhash.xxh3_128_hexdigest(list_bytes(hashes)), "count": len(set(hashes))}
    return {**item, "if": list(conditions)}


def hashes_of(units, seed="9e3779b97f4a7c15"):
    return [xxhash.xxh3_64_intdigest(unit.encode("utf-8"), seed=int(seed, 16)) for unit in units]


def lists(**units):
    return {key.replace("_", "-"): [f"{hash:016x}" for hash in sorted(set(hashes_of(of)))] for key, of in units.items()}


def vector(name, flags, context=None, asked=None, cohorts=(), lists=None):
    flags = flags if type(flags) is list else [flags]
    asked = flags[0]["key"] if asked is None else asked
    context = {"targetingKey": "user-42"} if context is None else context
    return {"name": name, "ruleset": {"flags": flags, "cohorts": list(cohorts), "lists": lists or {}}, "context": context, "flag": asked}


def tested(operator, operand, value, label):
    """One condition, as it is and negated, for a value or for its absence (`...`)."""
    context = {"targetingKey": "user-42"} if value is ... else {"targetingKey": "user-42", "a": value}
    for negated in (False, True):
        condition = {"attribute": "a", operator: operand}
        if negated:
            condition["not"] = True
        yield vector(f"{'not ' if negated else ''}{operator} {label}", flag(rules=[rule(condition)]), context)


def conditions(table):
    return [one for operator, operand, value, label in table for one in tested(operator, operand, value, label)]


def operators():
    return conditions(
        [
            ("equals", "DE", "DE", "the same text"),
            ("equals", "DE", "de", "another case"),
            ("equals", "DE", " DE", "a space before"),
            ("equals", "", "", "two empty texts"),
            ("equals", "é", "e\u0301", "composed and decomposed"),
            ("equals", "42", 42, "text against a number"),
            ("equals", 42, "42", "a number against text"),
            ("equals", 42, 42.0, "42 and 42.0"),
            ("equals", 42.5, 42.5, "fractions"),
            ("equals", 0, -0.0, "zero and minus zero"),
            ("equals", 9007199254740992, 9007199254740993, "integers beyond 2^53"),
            ("equals", 1, True, "one against true"),
            ("equals", True, 1, "true against one"),
            ("equals", True, True, "true"),
            ("equals", False, True, "false against true"),
            ("equals", False, False, "false"),
            ("equals", "DE", ..., "absence"),
            ("equals", "DE", None, "null"),
            ("equals", "DE", {"DE": "DE"}, "an object"),
            ("in", ["DE", "FR"], "FR", "the second"),
            ("in", ["DE", "FR"], "IT", "none of them"),
            ("in", ["DE"], 1, "a number among texts"),
            ("in", [1, "1", True], True, "mixed operands, a boolean"),
            ("in", [1, "DE"], "FR", "mixed operands, another text"),
            ("in", [1, "DE"], 2, "mixed operands, another number"),
            ("in", [1, "DE"], False, "mixed operands, a type that none has"),
            ("in", [1, 2, 2.5], 2.5, "numbers"),
            ("in", [True], False, "booleans"),
            ("in", ["DE", "DE"], "DE", "a value twice"),
            ("in", ["DE"], ..., "absence"),
            ("in", [f"c{index:02}" for index in range(40)], "c39", "the last of many"),
            ("in", [f"c{39 - index:02}" for index in range(40)], "c00", "many, unsorted"),
            ("in", [f"c{index:02}" for index in range(40)], "c40", "not among many"),
            ("contains", "shop", "my-shop-1", "the middle"),
            ("contains", "shop", "my-Shop-1", "another case"),
            ("contains", "", "", "the empty text in itself"),
            ("contains", "", "x", "the empty text"),
            ("contains", "ß", "Straße", "unicode"),
            ("contains", "1", 11, "a number"),
            ("contains", "x", ..., "absence"),
            ("starts_with", "user-", "user-1", "the start"),
            ("starts_with", "user-", "my-user-", "the end"),
            ("starts_with", "user-", "user", "only a part"),
            ("starts_with", "", "", "nothing"),
            ("starts_with", "t", True, "a boolean"),
            ("starts_with", "u", ..., "absence"),
            ("ends_with", "@example.com", "ann@example.com", "the end"),
            ("ends_with", "@example.com", "ann@example.com.evil", "not the end"),
            ("ends_with", "@example.com", "ann@EXAMPLE.com", "another case"),
            ("ends_with", "é", "café", "unicode"),
            ("ends_with", "x", None, "null"),
            ("less", 18, 17, "below"),
            ("less", 18, 18, "equal"),
            ("less", 18, 18.0001, "just above"),
            ("less", 18, "17", "text"),
            ("less", 18, True, "a boolean"),
            ("less", 18, ..., "absence"),
            ("less", -1.5, -2, "negative"),
            ("at_most", 18, 18, "equal"),
            ("at_most", 18, 18.0, "equal as a float"),
            ("at_most", 18, 19, "above"),
            ("at_most", 0, -0.0, "minus zero"),
            ("at_most", 18, {}, "an object"),
            ("greater", 18, 18, "equal"),
            ("greater", 18, 19, "above"),
            ("greater", 18, 17.999, "below"),
            ("greater", 1e300, 1e301, "very large"),
            ("greater", 0, 5e-324, "very small"),
            ("greater", 18, ..., "absence"),
            ("at_least", 18, 18, "equal"),
            ("at_least", 18, 17, "below"),
            ("at_least", 0.1, 0.30000000000000004, "floats"),
            ("at_least", 9007199254740993, 9007199254740992, "beyond 2^53"),
            ("exists", True, "x", "present"),
            ("exists", True, False, "false is present"),
            ("exists", True, "", "the empty text is present"),
            ("exists", True, [], "the empty list is present"),
            ("exists", True, {}, "an object is present"),
            ("exists", True, ..., "absence"),
            ("exists", True, None, "null is absent"),
            ("exists", False, ..., "asked for absence, absent"),
            ("exists", False, None, "asked for absence, null"),
            ("exists", False, 0, "asked for absence, present"),
        ]
    )


def arrays():
    return conditions(
        [
            ("equals", "DE", ["FR", "DE"], "an element"),
            ("equals", "DE", ["FR"], "no element"),
            ("equals", "DE", [], "the empty list"),
            ("equals", "DE", [1, True, None], "elements of wrong types"),
            ("equals", "DE", [["DE"]], "a list in the list"),
            ("equals", "DE", [{"a": "DE"}, "DE"], "an object beside it"),
            ("equals", 2, [1, 2.0], "a number among numbers"),
            ("in", ["DE", "FR"], ["IT", "FR"], "an element"),
            ("in", ["DE", 1], [True, 1], "an element of mixed operands"),
            ("in", ["DE"], ["IT", 5], "no element"),
            ("contains", "ad", ["reader", "admin"], "a part of elements"),
            ("contains", "ad", [5], "numbers only"),
            ("starts_with", "adm", ["reader", "admin"], "an element"),
            ("ends_with", "er", ["admin", "reader"], "an element"),
            ("matches", "^a.*n$", ["reader", "admin"], "an element"),
            ("less", 5, [9, 4], "an element"),
            ("less", 5, ["4"], "texts only"),
            ("at_least", 5, [1, 5], "an element"),
            ("before", "2026-01-01T00:00:00Z", ["no date", "2025-12-31T23:59:59Z"], "an element"),
            ("after", "2026-01-01T00:00:00Z", ["no date"], "no date among them"),
            ("semver_at_least", "2.0.0", ["1.0.0", "2.1.0"], "an element"),
            ("semver_less", "2.0.0", ["x", "2.1.0"], "no element"),
            ("exists", False, [], "asked for absence"),
        ]
    )


def semver():
    table = []
    for operator in ("semver_equals", "semver_less", "semver_at_most", "semver_greater", "semver_at_least"):
        table += [(operator, "1.4.0", value, f"1.4.0 against {value}") for value in ("1.3.99", "1.4.0", "1.4.0-rc.1", "1.10.0")]
    ascending = ["1.0.0-0", "1.0.0-9", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-rc.1", "1.0.0"]
    table += [("semver_less", right, left, f"{left} before {right}") for left, right in zip(ascending, ascending[1:])]
    table += [
        ("semver_equals", "1.0.0+a", "1.0.0+b.1-x", "build metadata"),
        ("semver_equals", "1.0.0", "1.0.0+", "empty build metadata"),
        ("semver_equals", "1.0.0", "v1.0.0", "a v"),
        ("semver_equals", "1.0.0", "1.0", "two parts"),
        ("semver_equals", "1.0.0", "1.0.0.0", "four parts"),
        ("semver_equals", "1.0.0", "01.0.0", "a leading zero"),
        ("semver_less", "2.0.0", "1.0.0-01", "a leading zero in the pre-release"),
        ("semver_less", "2.0.0", "1.0.0-0a", "a text that begins with zero"),
        ("semver_less", "2.0.0", "1.0.0-a..b", "an empty identifier"),
        ("semver_less", "2.0.0", " 1.0.0", "a space"),
        ("semver_less", "2.0.0", "1.0.0-é", "unicode"),
        ("semver_less", "2.0.0", 1.0, "a number"),
        ("semver_less", "2.0.0", ..., "absence"),
        ("semver_greater", "1.0.0", "18446744073709551615.0.0", "the largest part"),
        ("semver_greater", "1.0.0", "18446744073709551616.0.0", "one more than the largest part"),
        ("semver_less", "1.0.0-99999999999999999999999999", "1.0.0-99999999999999999999999998", "pre-releases of any length"),
        ("semver_less", "1.0.0-a-b", "1.0.0-a", "a hyphen in the pre-release"),
        ("semver_greater", "1.0.0-B", "1.0.0-a", "ASCII order"),
    ]
    return conditions(table)


def dates():
    noon = "2026-03-01T12:00:00Z"
    values = {
        "the same instant": noon,
        "the same instant elsewhere": "2026-03-01T13:30:00+01:30",
        "a nanosecond before": "2026-03-01T11:59:59.999999999Z",
        "a nanosecond after": "2026-03-01T12:00:00.000000001Z",
        "another day elsewhere": "2026-03-02T10:00:00+23:59",
        "small letters": "2026-03-01t12:00:01z",
        "minus zero offset": "2026-03-01T12:00:00.5-00:00",
        "ten digits of a fraction": "2026-03-01T11:00:00.1234567891Z",
        "an empty fraction": "2026-03-01T11:00:00.Z",
        "a comma": "2026-03-01T11:00:00,5Z",
        "no offset": "2026-03-01T11:00:00",
        "a space for T": "2026-03-01 11:00:00Z",
        "a leap second": "2016-12-31T23:59:60Z",
        "hour 24": "2026-02-28T24:00:00Z",
        "29 February of a common year": "2025-02-29T00:00:00Z",
        "29 February of a leap year": "2024-02-29T00:00:00Z",
        "29 February 1900": "1900-02-29T00:00:00Z",
        "29 February 2000": "2000-02-29T00:00:00Z",
        "31 April": "2026-04-31T00:00:00Z",
        "month 13": "2026-13-01T00:00:00Z",
        "year 0": "0000-02-29T00:00:00Z",
        "year 9999": "9999-12-31T23:59:59.999999999-23:59",
        "an offset of 24 hours": "2026-03-01T11:00:00+24:00",
        "an offset without colon": "2026-03-01T11:00:00+0100",
        "a date only": "2026-03-01",
        "other digits": "２026-03-01T11:00:00Z",
        "a line feed after it": "2026-03-01T11:00:00Z\n",
        "a number": 1772366400,
        "absence": ...,
    }
    return conditions([(operator, noon, value, label) for label, value in values.items() for operator in ("before", "after")])


def patterns():
    return conditions(
        [
            ("matches", "b+c", "abbbcd", "anywhere"),
            ("matches", "^b+c", "abbbc", "not at the start"),
            ("matches", "c$", "abc", "at the end"),
            ("matches", "c$", "abc\n", "before a last line feed"),
            ("matches", "ABC", "abc", "another case"),
            ("matches", "(?i)ABC", "abc", "any case, asked for"),
            ("matches", "", "x", "the empty pattern"),
            ("matches", "^.$", "é", "a dot is a character"),
            ("matches", "^\\d+$", "٣", "unicode digits"),
            ("matches", "^\\w+$", "größe", "unicode letters"),
            ("matches", "^[a-z0-9.]+@example\\.com$", "ann.b@example.com", "an address"),
            ("matches", "^[a-z0-9.]+@example\\.com$", "ann@example-com", "no such address"),
            ("matches", "^(DE|FR)-[0-9]{3,5}$", "FR-1234", "alternatives"),
            ("matches", "(a+)+$", "a" * 12 + "b", "nested repetitions"),
            ("matches", "4", 42, "a number"),
            ("matches", "x", ..., "absence"),
            ("matches", "^[$]$", "$", "a dollar in a class"),
            ("matches", "a.c", "a\nc", "a dot is no line feed"),
        ]
    )


def units():
    half = flag(millionths=500_000)
    odd = {
        "text": "user-42", "42 as text": "42", "42": 42, "42.0": 42.0, "42.0 as text": "42.0", "4.2e1": 4.2e1, "minus 7": -7, "minus 7 as text": "-7",
        "zero": 0, "minus zero": -0.0, "zero as text": "0", "the largest integer": 2**53 - 1, "the largest integer as text": str(2**53 - 1),
        "the smallest integer": -(2**53 - 1), "too large": 2**53, "too small": -(2**53), "far too large": 1e300, "u64": 2**64 - 1, "a fraction": 42.5,
        "the empty text": "", "a space": " ", "true": True, "false": False, "null": None, "a list": ["user-42"], "an object": {"id": "user-42"},
        "unicode": "ünïcödé", "unicode, capital": "Ünïcödé", "unicode, decomposed": "u\u0308nicode", "unicode, composed": "\u00fcnicode", "Chinese": "用户-42",
        "an emoji": "👩\u200d🚀", "a nul": "a\u0000b", "a space before": " user-42", "a space after": "user-42 ", "upper case": "USER-42",
        "16 bytes": "a" * 16, "17 bytes": "a" * 17, "128 bytes": "b" * 128, "129 bytes": "b" * 129, "240 bytes": "c" * 240, "241 bytes": "c" * 241,
        "1,100 bytes": "d" * 1_100, "8 bytes": "12345678", "9 bytes": "123456789", "3 bytes": "abc", "4 bytes": "abcd",
    }  # fmt: skip
    vectors = [vector(f"the targeting key is {name}", half, {"targetingKey": value}) for name, value in odd.items()]
    vectors.append(vector("no targeting key", half, {}))
    account = flag(millionths=500_000, unit="account_id")
    for name in ("text", "42", "42 as text", "42.0", "minus zero", "too large", "a fraction", "the empty text", "true", "null", "a list", "an object"):
        vectors.append(vector(f"another unit is {name}", account, {"targetingKey": "user-1", "account_id": odd[name]}))
    vectors.append(vector("another unit is absent", account))
    vectors += [
        vector("no unit at 0 %", flag(), {}),
        vector("no unit at 100 %", flag(millionths=1_000_000), {}),
        vector("no unit and a rule that holds", flag(rules=[rule()], millionths=500_000), {}),
        vector("no unit and an override", flag(overrides={"": "on"}, millionths=1_000_000), {"targetingKey": ""}),
    ]
    return vectors


def buckets():
    vectors = []
    for unit, bucket in BUCKET.items():
        for name, millionths in (("just below its bucket", bucket - 1), ("at its bucket", bucket), ("just above its bucket", bucket + 1)):
            vectors.append(vector(f"{unit!r}: {name}", flag(millionths=millionths), {"targetingKey": unit}))
    for millionths in (0, 1, 1_000, 999_999, 1_000_000):
        vectors.append(vector(f"{millionths} millionths", flag(millionths=millionths)))
    for key in ("US-124-search", "a", "flag/split", "Größe", "用户", "x" * 200):
        vectors.append(vector(f"key {key[:20]!r}", flag(key, millionths=500_000)))
    vectors += [
        vector("a seed of its own", flag(millionths=500_000, seed="another")),
        vector("the seed of another flag: the same bucket", flag("US-124-search", millionths=650_571, seed=KEY)),
        vector("an empty seed", flag(millionths=500_000, seed="")),
        vector("otherwise, out", colours(millionths=1, otherwise="blue")),
        vector("otherwise, in", colours(millionths=999_999, otherwise="blue")),
        vector("otherwise at 0 %", colours(otherwise="blue")),
    ]
    return vectors


def splits():
    thirds = split(("blue", 333_333), ("green", 333_333), ("red", 333_334))
    vectors = []
    for number in range(12):
        vectors.append(vector(f"thirds at 100 %, user-{number}", colours(millionths=1_000_000, serve=thirds), {"targetingKey": f"user-{number}"}))
    for millionths in (1, 300_000, 650_570, 650_571, 999_999):
        vectors.append(vector(f"user-42 keeps its variant at {millionths}", colours(millionths=millionths, serve=thirds)))
    for name, place in (("user-42", 980_129), ("42", 371_455)):
        for edge in (place, place + 1):
            halves = split(("blue", edge), ("red", 1_000_000 - edge))
            vectors.append(vector(f"the border at {edge}, {name}", colours(millionths=1_000_000, serve=halves), {"targetingKey": name}))
    vectors += [
        vector("a part of nothing comes first", colours(millionths=1_000_000, serve=split(("blue", 0), ("green", 1_000_000), ("red", 0)))),
        vector("one part", colours(millionths=1_000_000, serve=split(("green", 1_000_000)))),
        vector("a variant twice", colours(millionths=1_000_000, serve=split(("blue", 500_000), ("red", 480_129), ("blue", 19_871)))),
        vector("the list's order counts", colours(millionths=1_000_000, serve=list(reversed(thirds)))),
        vector("a rule serves a split", colours(rules=[rule(serve=thirds)])),
        vector("a rule serves a split without a unit", colours(rules=[rule(serve=thirds)]), {}),
        vector("a cohort is served a split", colours(cohorts=["internal-users"], serve=thirds), cohorts=[everybody()]),
        vector("a cohort is served a split without a unit", colours(cohorts=["internal-users"], serve=thirds), {"a": 1}, cohorts=[everybody()]),
        vector("a split without a unit at 100 %", colours(millionths=1_000_000, serve=thirds), {}),
        vector("a split without a unit at 0 %", colours(serve=thirds), {}),
        vector("a split at 0 %", colours(serve=thirds)),
        vector("a split with a rule beside it at 100 %", colours(millionths=1_000_000, serve=thirds, rules=[never()])),
        vector("the split's seed is the flag's", colours(millionths=1_000_000, serve=thirds, seed="another")),
        vector("the split's unit is the flag's", colours(millionths=1_000_000, serve=thirds, unit="account_id"), {"targetingKey": "user-42", "account_id": 42}),
    ]
    return vectors


def everybody(key="internal-users"):
    return cohort(key, [{"attribute": "nothing", "exists": False}])


def never(id="never"):
    return rule({"attribute": "nothing", "exists": True}, id=id)


def states():
    lists_all = dict(rules=[rule()], overrides={"user-42": "on"}, millionths=1_000_000)
    one = {"number": {"a": 1, "b": 2.5}, "text": {"a": "", "b": "x"}, "object": {"a": {"x": [1, None]}, "b": {}}}
    vectors = [
        vector("no such flag", flag(), asked="US-9-nothing"),
        vector("an empty ruleset", [], asked=KEY),
        vector("an empty key", [flag("")], asked=""),
        vector("keys are case-sensitive", flag(), asked=KEY.lower()),
        vector("killed", flag(killed=True, **lists_all)),
        vector("killed and not enabled", flag(killed=True, enabled=False)),
        vector("not enabled", flag(enabled=False, **lists_all)),
        vector("not enabled, off serves a value", colours(enabled=False, off="green")),
        vector("killed without a unit", flag(killed=True, millionths=500_000), {}),
        vector("static at 0 %", flag()),
        vector("static at 100 %", flag(millionths=1_000_000)),
        vector("off and on may be one variant", flag(millionths=1_000_000, serve="off")),
        vector("two items of one key: the last counts", [flag(), flag(millionths=1_000_000)]),
        vector("unknown fields are ignored", flag(millionths=1_000_000, colour="blue", later={"x": 1})),
        vector("a watched flag", flag(millionths=1_000_000, client=True, watch={"rollout_revision": 812, "limits_ms": [200, 500]})),
    ]
    for at in (0, 1_000_000):
        for name, fields in {
            "a prerequisite": {"prerequisites": [requires("base")]},
            "an override": {"overrides": {"nobody": "on"}},
            "a rule": {"rules": [never()]},
            "a cohort": {"cohorts": ["nobody"]},
        }.items():
            vectors.append(vector(f"default at {at} with {name}", [flag(millionths=at, **fields), flag("base", millionths=1_000_000)]))
    for name, variants in one.items():
        for at in (0, 1_000_000):
            vectors.append(vector(f"a value that is a {name} at {at}", flag(variants=variants, off="a", serve="b", millionths=at)))
    vectors.append(vector("the optional parts are left out", {k: v for k, v in flag().items() if k not in ("prerequisites", "overrides", "rules")}))
    return vectors


def overrides():
    named = {"user-42": "on", "42": "on", "": "on", "ünïcödé": "on"}
    vectors = []
    for value in ("user-42", "42", 42, 42.0, 42.5, "USER-42", "", "ünïcödé", None, True):
        vectors.append(vector(f"the unit is {value!r}", flag(overrides=named), {"targetingKey": value}))
    vectors += [
        vector("to off, though all are in", flag(overrides={"user-42": "off"}, millionths=1_000_000)),
        vector("before a rule", colours(overrides={"user-42": "blue"}, rules=[rule(serve="red")])),
        vector("before a cohort", colours(overrides={"user-42": "blue"}, cohorts=["internal-users"]), cohorts=[everybody()]),
        vector("by another unit", flag(overrides={"acme": "on"}, unit="account_id"), {"targetingKey": "user-42", "account_id": "acme"}),
        vector("not by the targeting key then", flag(overrides={"user-42": "on"}, unit="account_id"), {"targetingKey": "user-42", "account_id": "acme"}),
        vector("nobody to override at 100 %", flag(overrides={"user-42": "off"}, millionths=1_000_000), {}),
        vector("after a prerequisite", flag(overrides={"user-42": "on"}, prerequisites=[requires("gone")])),
    ]
    return vectors


def rules():
    country = {"attribute": "country", "in": ["DE"]}
    adult = {"attribute": "age", "at_least": 18}
    two = colours(rules=[rule(country, adult, serve="blue", id="both"), rule(country, serve="green", id="one")])
    german = {"targetingKey": "user-42", "country": "DE"}
    return [
        vector("all conditions hold", two, {**german, "age": 18}),
        vector("one condition fails: the next rule", two, {**german, "age": 17}),
        vector("one attribute is absent: the next rule", two, german),
        vector("no rule holds", two, {"targetingKey": "user-42", "country": "FR", "age": 40}),
        vector("a rule without conditions", colours(rules=[rule(serve="blue", id="all")])),
        vector("a rule whose conditions are left out", colours(rules=[{"id": "all", "serve": "blue"}])),
        vector("the first of two", colours(rules=[rule(serve="blue", id="first"), rule(serve="green", id="second")])),
        vector("a rule may serve off", flag(rules=[rule(country, serve="off")], millionths=1_000_000), german),
        vector("the targeting key is an attribute", flag(rules=[rule({"attribute": "targetingKey", "starts_with": "user-"})])),
        vector("a numeric targeting key is a number", flag(rules=[rule({"attribute": "targetingKey", "equals": 42})]), {"targetingKey": 42}),
        vector("a numeric targeting key is no text", flag(rules=[rule({"attribute": "targetingKey", "equals": "42"})]), {"targetingKey": 42}),
        vector("no targeting key, asked for absence", flag(rules=[rule({"attribute": "targetingKey", "exists": False})]), {}),
        vector("an attribute with an empty name", flag(rules=[rule({"attribute": "", "equals": 1})]), {"": 1}),
        vector("names are case-sensitive", flag(rules=[rule(country)]), {"Country": "DE"}),
        vector("names have no paths", flag(rules=[rule({"attribute": "user.country", "equals": "DE"})]), {"user": {"country": "DE"}}),
        vector("a name with a dot", flag(rules=[rule({"attribute": "user.country", "equals": "DE"})]), {"user.country": "DE"}),
        vector("not: false is as if left out", flag(rules=[rule({**country, "not": False})]), german),
        vector(
            "ten rules of two, the last holds, then a split",
            colours(
                rules=[rule({"attribute": "country", "in": [f"C{n}"]}, {"attribute": "app", "semver_at_least": f"{n}.0.0"}, id=f"r{n}",
                            serve=split(("blue", 250_000), ("green", 250_000), ("grey", 250_000), ("red", 250_000))) for n in range(10)]
            ),
            {"targetingKey": "user-42", "country": "C9", "app": "9.1.0"},
        ),
    ]  # fmt: skip


def prerequisites():
    on = flag("base", millionths=1_000_000)
    asks = flag(prerequisites=[requires("base")], millionths=1_000_000)
    needs_off = flag(prerequisites=[requires("base", "off")], millionths=1_000_000)
    half = flag("base", millionths=500_000)
    vectors = [
        vector("met", [asks, on]),
        vector("not met", [asks, flag("base")]),
        vector("not there", [asks]),
        vector("killed", [asks, flag("base", millionths=1_000_000, killed=True)]),
        vector("killed, and its off is asked for", [needs_off, flag("base", millionths=1_000_000, killed=True)]),
        vector("not enabled, and its off is asked for", [needs_off, flag("base", enabled=False)]),
        vector("in error", [flag(prerequisites=[requires("base", "on", "off")], millionths=1_000_000), half], {}),
        vector("by bucket, in", [asks, flag("base", millionths=999_999)]),
        vector("by bucket, out", [asks, flag("base", millionths=1)]),
        vector("by rule", [asks, flag("base", rules=[rule({"attribute": "country", "equals": "DE"})])], {"targetingKey": "user-42", "country": "DE"}),
        vector("one of several variants", [flag(prerequisites=[requires("base", "blue", "red")], millionths=1_000_000), colours(key="base", millionths=1_000_000)]),
        vector("a variant that it does not have", [flag(prerequisites=[requires("base", "blue")], millionths=1_000_000), on]),
        vector("no variant at all", [flag(prerequisites=[{"flag": "base", "variants": []}], millionths=1_000_000), on]),
        vector("both of two", [flag(prerequisites=[requires("base"), requires("more")], millionths=1_000_000), on, flag("more", millionths=1_000_000)]),
        vector("only one of two", [flag(prerequisites=[requires("base"), requires("more")], millionths=1_000_000), on, flag("more")]),
        vector("not met serves off, not otherwise", [colours(prerequisites=[requires("base")], otherwise="blue"), flag("base")]),
        vector("by a split", [flag(prerequisites=[requires("base", "red")], millionths=1_000_000), colours(key="base", millionths=1_000_000, serve=split(("blue", 980_129), ("red", 19_871)))]),
        vector("itself", [flag(prerequisites=[requires(KEY)], millionths=1_000_000)]),
        vector("itself, off asked for", [flag(prerequisites=[requires(KEY, "off")], millionths=1_000_000)]),
        vector("a cycle of two", [asks, flag("base", prerequisites=[requires(KEY)], millionths=1_000_000)]),
        vector("a cycle of two, off asked for once", [needs_off, flag("base", prerequisites=[requires(KEY)], millionths=1_000_000)]),
        vector("a cycle of three", [flag("a", prerequisites=[requires("b", "off")], millionths=1_000_000), flag("b", prerequisites=[requires("c", "off")], millionths=1_000_000), flag("c", prerequisites=[requires("a", "off")], millionths=1_000_000)]),
    ]  # fmt: skip
    for length in (1, 2, 15, 16, 17, 18):
        chain = [flag(f"link-{n}", prerequisites=[requires(f"link-{n + 1}")], millionths=1_000_000) for n in range(length)]
        vectors.append(vector(f"a chain of {length}", [*chain, flag(f"link-{length}", millionths=1_000_000)]))
    for count in (255, 256, 257):
        many = flag(prerequisites=[requires("base")] * count, millionths=1_000_000)
        vectors.append(vector(f"{count} looks", [many, on]))
    for width in (15, 16, 17):
        tree = [flag(f"wide-{n}", prerequisites=[requires("base")] * 15, millionths=1_000_000) for n in range(width)]
        vectors.append(vector(f"a tree of {width} times 16 looks", [flag(prerequisites=[requires(one["key"]) for one in tree], millionths=1_000_000), *tree, on]))
    doubling = [flag(f"twice-{n}", prerequisites=[requires(f"twice-{n + 1}")] * 2, millionths=1_000_000) for n in range(12)]
    vectors.append(vector("a tree that doubles", [*doubling, flag("twice-12", millionths=1_000_000)]))
    missing = flag(prerequisites=[requires("base", "on", "off")], millionths=1_000_000)
    vectors.append(vector("one that is not there at the end of a chain", [missing, flag("base", prerequisites=[requires("gone")])]))
    return vectors


def cohorts():
    germans = [{"attribute": "country", "equals": "DE"}]
    listed = cohort(units=["user-42", "42", "ünïcödé"])
    come = lists(internal_users=["user-42", "42", "ünïcödé"])
    rolled = flag(cohorts=["internal-users"])
    asked = flag(rules=[rule({"in_cohort": "internal-users"})])
    asked_not = flag(rules=[rule({"in_cohort": "internal-users", "not": True})])
    by_account = cohort(units=["acme"], unit="account_id")
    german = {"targetingKey": "user-42", "country": "DE"}
    kinds = {
        "a list": (listed, come),
        "a list that has not come": (listed, {}),
        "conditions": (cohort(conditions=germans), {}),
        "a list and conditions": (cohort(units=["user-7"], conditions=germans), lists(internal_users=["user-7"])),
        "a list by another unit": (by_account, lists(internal_users=["acme"])),
        "neither": (cohort(), {}),
        "an empty list": (cohort(units=[]), {"internal-users": []}),
    }
    contexts = {
        "a member": {"targetingKey": "user-42", "country": "FR"},
        "a German": {"targetingKey": "user-1", "country": "DE"},
        "user-7": {"targetingKey": "user-7"},
        "nobody": {},
        "a German without key": {"country": "DE"},
        "acme": {"targetingKey": "user-1", "account_id": "acme"},
    }
    vectors = []
    for kind, (item, come_list) in kinds.items():
        for who, context in contexts.items():
            for way, tested in (("in the rollout", rolled), ("in a rule", asked), ("not in a rule", asked_not)):
                vectors.append(vector(f"{kind}, {who}, {way}", tested, context, cohorts=[item], lists=come_list))
    for unit in ("42", 42, 42.0, "ünïcödé", "Ünïcödé"):
        vectors.append(vector(f"the unit {unit!r} in the list", rolled, {"targetingKey": unit}, cohorts=[listed], lists=come))
    vectors += [
        vector("no such cohort, in the rollout", rolled),
        vector("no such cohort, in a rule", asked),
        vector("no such cohort, not in a rule", asked_not),
        vector("the second cohort of two", flag(cohorts=["a", "internal-users"]), german, cohorts=[cohort("a"), cohort(conditions=germans)]),
        vector("before the percentage", flag(cohorts=["internal-users"], millionths=1), german, cohorts=[cohort(conditions=germans)]),
        vector("not in it: by bucket, out", flag(cohorts=["internal-users"], millionths=1), cohorts=[cohort(conditions=germans)]),
        vector("not in it: by bucket, in", flag(cohorts=["internal-users"], millionths=999_999), cohorts=[cohort(conditions=germans)]),
        vector("not in it: 100 %", flag(cohorts=["internal-users"], millionths=1_000_000), cohorts=[cohort(conditions=germans)]),
        vector("in it at 100 %", flag(cohorts=["internal-users"], millionths=1_000_000), german, cohorts=[cohort(conditions=germans)]),
        vector("after a rule", colours(cohorts=["internal-users"], rules=[rule(serve="blue")]), german, cohorts=[cohort(conditions=germans)]),
        vector("all of its conditions", rolled, german, cohorts=[cohort(conditions=[*germans, {"attribute": "age", "greater": 1}])]),
        vector("a negated condition", rolled, german, cohorts=[cohort(conditions=[{"attribute": "country", "equals": "FR", "not": True}])]),
        vector("seed zero", rolled, cohorts=[cohort(units=["user-42"], seed="0")], lists={"internal-users": [f"{hash:016x}" for hash in hashes_of(["user-42"], "0")]}),
        vector("a seed in capitals", rolled, cohorts=[cohort(units=["user-42"], seed="FF")], lists={"internal-users": [f"{hash:016x}" for hash in hashes_of(["user-42"], "ff")]}),
        vector("a thousand units, one of them", rolled, cohorts=[cohort(units=[f"user-{n}" for n in range(1_000)])], lists=lists(internal_users=[f"user-{n}" for n in range(1_000)])),
    ]  # fmt: skip
    return vectors


def unsupported():
    fine = flag("fine", millionths=1_000_000)
    bad_condition = {"attribute": "a", "sounds_like": "x"}
    broken = cohort(conditions=[bad_condition])

    def without(name, item=None):
        return {key: value for key, value in (item or flag()).items() if key != name}

    def condition(**fields):
        return flag(rules=[rule(fields)], millionths=1_000_000)

    items = {
        "an unknown operator": flag(rules=[never(), rule(bad_condition)], millionths=1_000_000),
        "two operators": condition(attribute="a", equals=1, less=2),
        "no operator": condition(attribute="a"),
        "no attribute": condition(equals=1),
        "an unknown field in a condition": condition(attribute="a", equals=1, hint="x"),
        "an attribute beside in_cohort": condition(attribute="a", in_cohort="x"),
        "an operator beside in_cohort": condition(in_cohort="x", equals=1),
        "not is no boolean": condition(attribute="a", equals=1, **{"not": 1}),
        "equals null": condition(attribute="a", equals=None),
        "equals a list": condition(attribute="a", equals=["x"]),
        "in nothing": condition(attribute="a", **{"in": []}),
        "in no list": condition(attribute="a", **{"in": "DE"}),
        "in a list with null": condition(attribute="a", **{"in": ["DE", None]}),
        "contains a number": condition(attribute="a", contains=1),
        "less than text": condition(attribute="a", less="1"),
        "less than a boolean": condition(attribute="a", less=True),
        "before no date": condition(attribute="a", before="2026-01-01"),
        "after a number": condition(attribute="a", after=1),
        "no version": condition(attribute="a", semver_less="1.0"),
        "exists is no boolean": condition(attribute="a", exists="yes"),
        "an open group": condition(attribute="a", matches="("),
        "look-ahead": condition(attribute="a", matches="a(?=b)"),
        "look-behind": condition(attribute="a", matches="(?<!a)b"),
        "a back-reference": condition(attribute="a", matches="(a)\\1"),
        "a pattern of 513 bytes": condition(attribute="a", matches="a" * 513),
        "a pattern that grows too large": condition(attribute="a", matches="(?:(?:[a-z]{100}){100}){100}"),
        "an unknown variant in a rule": flag(rules=[rule(serve="maybe")]),
        "an unknown variant in the rollout": flag(serve="maybe"),
        "an unknown otherwise": flag(otherwise="maybe"),
        "an unknown off": flag(off="maybe"),
        "an unknown variant in an override": flag(overrides={"x": "maybe"}),
        "an unknown variant in a split": flag(serve=split(("on", 500_000), ("maybe", 500_000))),
        "weights below 100 %": flag(serve=split(("on", 500_000), ("off", 499_999))),
        "weights above 100 %": flag(serve=split(("on", 500_000), ("off", 500_001))),
        "an empty split": flag(serve=[]),
        "1,000,001 millionths": flag(millionths=1_000_001),
        "negative millionths": flag(millionths=-1),
        "half a millionth": flag(millionths=0.5),
        "no variants": flag(variants={}),
        "variants of several types": flag(variants={"on": True, "off": 0}),
        "a variant that is null": flag(variants={"on": True, "off": False, "x": None}),
        "variants that are lists": flag(variants={"on": [1], "off": []}),
        "enabled is missing": without("enabled"),
        "seed is missing": without("seed"),
        "unit is missing": without("unit"),
        "killed is missing": without("killed"),
        "variants are missing": without("variants"),
        "the rollout is missing": without("rollout"),
        "the rollout is text": {**without("rollout"), "rollout": "all"},
        "enabled is text": flag(enabled="yes"),
        "client is text": flag(client="yes"),
        "watch is a number": flag(watch=7),
        "rules are null": flag(rules=()) | {"rules": None},
    }
    vectors = []
    for name, item in items.items():
        vectors.append(vector(name, [item, fine]))
        if name in ("an unknown operator", "an unknown off", "enabled is missing", "a variant that is null", "the rollout is text", "no variants"):
            vectors.append(vector(f"{name}, killed", [{**item, "killed": True}, fine]))
    pattern = items["an unknown operator"]
    ready = {"a": "user-42", "targetingKey": "user-42"}
    naming = flag("naming", prerequisites=[requires(KEY)], millionths=1_000_000)
    vectors += [
        vector("another flag is not touched", [pattern, fine], asked="fine"),
        vector("killed is text: no kill", [flag(killed="yes"), fine]),
        vector("an item without key", [without("key"), fine], asked=KEY),
        vector("an item whose key is a number", [flag(**{"key": 7}), fine], asked="7"),
        vector("a pattern of 512 bytes is fine", condition(attribute="a", matches="a" * 512), ready),
        vector("otherwise null is fine", {**flag(), "rollout": {"millionths": 0, "serve": "on", "otherwise": None}}),
        vector("a prerequisite is unsupported", [naming, pattern]),
        vector("a prerequisite is unsupported and killed", [naming, {**pattern, "killed": True}]),
        vector("a prerequisite of a prerequisite is unsupported", [flag("far", prerequisites=[requires("naming")]), naming, pattern]),
        vector("killed, and its prerequisite is unsupported", [{**naming, "killed": True}, pattern]),
        vector("not enabled, and its prerequisite is unsupported", [{**naming, "enabled": False}, pattern]),
        vector("a second prerequisite is unsupported", [flag("both", prerequisites=[requires("gone"), requires(KEY)]), pattern]),
        vector("a cohort in the rollout is unsupported", flag(cohorts=["internal-users"], millionths=1_000_000), cohorts=[broken]),
        vector("a cohort in a rule is unsupported", flag(rules=[never(), rule({"in_cohort": "internal-users"})]), cohorts=[broken]),
        vector("a cohort in a rule is unsupported, and negated", flag(rules=[rule({"in_cohort": "internal-users", "not": True})]), cohorts=[broken]),
        vector("killed, and a cohort is unsupported", flag(cohorts=["internal-users"], killed=True), cohorts=[broken]),
        vector("a prerequisite names an unsupported cohort", [naming, flag(cohorts=["internal-users"], killed=True)], cohorts=[broken]),
        vector("an override does not help", flag(cohorts=["internal-users"], overrides={"user-42": "on"}), cohorts=[broken]),
        vector("a cohort within a cohort", flag(cohorts=["internal-users"]), cohorts=[cohort(conditions=[{"in_cohort": "x"}])]),
        vector("a cohort's seed is no hex", flag(cohorts=["internal-users"]), cohorts=[cohort(seed="xyz")]),
        vector("a cohort's seed is too long", flag(cohorts=["internal-users"]), cohorts=[cohort(seed="1" * 17)]),
        vector("a cohort's seed is missing", flag(cohorts=["internal-users"]), cohorts=[without("seed", cohort())]),
        vector("a cohort without key", flag(cohorts=["internal-users"]), cohorts=[without("key", cohort())]),
        vector("two items of one cohort: the last counts", flag(cohorts=["internal-users"]), cohorts=[broken, everybody()]),
        vector("two items of one flag: the last counts", [pattern, flag(millionths=1_000_000)]),
        vector("another cohort is not touched", flag(cohorts=["fine"]), cohorts=[broken, everybody("fine")]),
        vector("unknown fields of a cohort are ignored", flag(cohorts=["internal-users"]), cohorts=[{**everybody(), "colour": "blue"}]),
        vector("a cycle with an unsupported flag in it", [flag("a", prerequisites=[requires("b")]), flag("b", prerequisites=[requires("a"), requires(KEY)]), pattern]),
    ]  # fmt: skip
    return vectors


def all_vectors():
    """File name to vectors."""
    assert seed_of(KEY) == 0x8827CB5072E2472F
    makers = (operators, arrays, semver, dates, patterns, units, buckets, splits, states, overrides, rules, prerequisites, cohorts, unsupported)
    return {maker.__name__: maker() for maker in makers}
