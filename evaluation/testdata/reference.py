#!/usr/bin/env python3
"""An independent evaluator, written from docs/bucketing.md, and the golden vectors that come of it.

    reference.py --check                                                  compare the vectors beside this file; exit 1 on a difference
    reference.py --write                                                  write them anew
    reference.py served --seed KEY --percentage P --users N               print the indices of the units user-0, user-1... that are in
                        [--prefix user-] [--digest]                       or only "count digest" (XXH3_64 of these lines)

It shares no code with the Rust kernel. It wants Python 3.9 and the package xxhash.
"""

import argparse
import json
import pathlib
import re
import sys
from datetime import date
from decimal import Decimal

import xxhash

MILLION = 1_000_000
DEPTH, LOOKS = 16, 256
HERE = pathlib.Path(__file__).resolve().parent


# Units and buckets


def unit_of(context, name):
    """The unit's bytes, or None."""
    value = context.get(name)
    if type(value) is str and value:
        return value.encode("utf-8")
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and abs(value) < 2**53:
        return str(value).encode()
    return None


def seed_of(text):
    return xxhash.xxh3_64_intdigest(text.encode("utf-8"))


def bucket_of(unit, seed):
    return (xxhash.xxh3_64_intdigest(unit, seed=seed) * MILLION) >> 64


def list_bytes(hashes):
    return b"".join(hash.to_bytes(8, "little") for hash in sorted(set(hashes)))


# Reading items: whatever is not as the document says raises Unsupported


class Unsupported(Exception):
    pass


def need(good, why):
    if not good:
        raise Unsupported(why)


def field(item, name, kind, default=None):
    if name not in item and default is not None:
        return default
    need(type(item.get(name)) is kind, f"{name} is not a {kind.__name__}")
    return item[name]


def whole(value, most):
    return type(value) is int and 0 <= value <= most


def strings(value):
    need(type(value) is list and all(type(one) is str for one in value), "not a list of strings")
    return value


def kind_of(value):
    return "number" if type(value) in (int, float) else {bool: "boolean", str: "string", dict: "object", list: "list"}.get(type(value))


OPERANDS = {
    "equals": lambda operand: kind_of(operand) in ("boolean", "number", "string"),
    "in": lambda operand: type(operand) is list and operand and all(kind_of(one) in ("boolean", "number", "string") for one in operand),
    "matches": lambda operand: type(operand) is str and pattern_of(operand) is not None,
    "exists": lambda operand: type(operand) is bool,
}
OPERANDS.update(dict.fromkeys(("contains", "starts_with", "ends_with"), lambda operand: type(operand) is str))
OPERANDS.update(dict.fromkeys(("less", "at_most", "greater", "at_least"), lambda operand: kind_of(operand) == "number"))
OPERANDS.update(dict.fromkeys(("before", "after"), lambda operand: type(operand) is str and instant_of(operand) is not None))
SEMVERS = ("semver_less", "semver_at_most", "semver_equals", "semver_at_least", "semver_greater")
OPERANDS.update(dict.fromkeys(SEMVERS, lambda operand: type(operand) is str and version_of(operand) is not None))


def read_condition(condition, in_a_cohort):
    need(type(condition) is dict, "a condition is an object")
    need(type(condition.get("not", False)) is bool, "not is a boolean")
    rest = condition.keys() - {"not"}
    if "in_cohort" in rest:
        need(rest == {"in_cohort"} and not in_a_cohort and type(condition["in_cohort"]) is str, "in_cohort")
        return
    need(len(rest) == 2 and type(condition.get("attribute")) is str, "an attribute and one operator")
    (operator,) = rest - {"attribute"}
    need(operator in OPERANDS and OPERANDS[operator](condition[operator]), operator)


def read_serve(serve, variants):
    if type(serve) is str:
        need(serve in variants, f"no variant {serve}")
        return
    need(type(serve) is list, "serve")
    for part in serve:
        need(type(part) is dict and field(part, "variant", str) in variants and whole(part.get("millionths"), MILLION), "weight")
    need(sum(part["millionths"] for part in serve) == MILLION, "weights")


def read_flag(item):
    variants = field(item, "variants", dict)
    kinds = {kind_of(value) for value in variants.values()}
    need(len(kinds) == 1 and kinds <= {"boolean", "string", "number", "object"}, "variants")
    need(field(item, "off", str) in variants, "off")
    for name, kind in (("killed", bool), ("enabled", bool), ("seed", str), ("unit", str)):
        field(item, name, kind)
    for prerequisite in field(item, "prerequisites", list, []):
        need(type(prerequisite) is dict, "prerequisite")
        field(prerequisite, "flag", str)
        strings(prerequisite.get("variants"))
    for variant in field(item, "overrides", dict, {}).values():
        need(type(variant) is str and variant in variants, "override")
    for rule in field(item, "rules", list, []):
        need(type(rule) is dict, "rule")
        field(rule, "id", str)
        for condition in field(rule, "if", list, []):
            read_condition(condition, in_a_cohort=False)
        read_serve(rule.get("serve"), variants)
    rollout = field(item, "rollout", dict)
    strings(rollout.get("cohorts", []))
    need(whole(rollout.get("millionths"), MILLION), "millionths")
    read_serve(rollout.get("serve"), variants)
    if rollout.get("otherwise") is not None:
        need(type(rollout["otherwise"]) is str and rollout["otherwise"] in variants, "otherwise")
    need(item.get("client") is None or type(item["client"]) is bool, "client")
    if item.get("watch") is not None:
        watch = field(item, "watch", dict)
        need(whole(watch.get("rollout_revision"), 2**64 - 1), "watch")
        need(type(watch.get("limits_ms")) is list and all(whole(one, 2**32 - 1) for one in watch["limits_ms"]), "watch")


def read_cohort(item):
    field(item, "unit", str)
    need(re.fullmatch("[0-9a-fA-F]{1,16}", field(item, "seed", str)), "seed")
    if item.get("list") is not None:
        field(field(item, "list", dict), "digest", str)
        need(whole(item["list"].get("count"), 2**64 - 1), "count")
    for condition in field(item, "if", list, []):
        read_condition(condition, in_a_cohort=True)


# Operands and values

RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def instant_of(text):
    """Nanoseconds since some fixed day, or None."""
    match = RFC3339.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    try:
        # The calendar repeats after 400 years; Python's has no year 0.
        days = date(year + 400 if year < 400 else year, month, day).toordinal() - (146_097 if year < 400 else 0)
    except ValueError:
        return None
    offset = (int(offset_hours) * 60 + int(offset_minutes)) * (1 if sign == "+" else -1) if sign else 0
    if hour > 23 or minute > 59 or second > 59 or (sign and (int(offset_hours) > 23 or int(offset_minutes) > 59)):
        return None
    seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second
    return seconds * 10**9 + int((fraction or "0").ljust(9, "0"))


# The expression that semver.org suggests.
SEMVER = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(?:-((?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)


def version_of(text):
    """Something that sorts as versions do, or None."""
    match = SEMVER.fullmatch(text)
    if not match:
        return None
    core = tuple(int(part) for part in match.groups()[:3])
    if max(core) >= 2**64:
        return None
    pre = match.group(4)
    # Numbers before texts; a release after all of its pre-releases.
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")] if pre else []
    return (core, pre is None, parts)


def pattern_of(text):
    """A compiled expression, or None. Only what Python and Rust read alike is used in the vectors."""
    if len(text.encode("utf-8")) > 512 or re.search(r"\(\?<?[=!]|\\[1-9]|\(\?P=", text):
        return None
    # How large a compiled expression is, is Rust's to say. The vectors stay far from the border, on both sides.
    size = 1
    for repetitions in re.findall(r"\{(?:[0-9]+,)?([0-9]+)\}", text):
        size *= int(repetitions)
    if size > 100_000:
        return None
    try:
        # In Python, `$` also stands before a last line feed.
        return re.compile(re.sub(r"\\.|\[(?:\\.|[^\]])*\]|\$", lambda match: r"\Z" if match[0] == "$" else match[0], text))
    except re.error:
        return None


def compare(order, left, right):
    return {"less": left < right, "at_most": left <= right, "equals": left == right, "at_least": left >= right, "greater": left > right}[order]


def ask(operator, operand, value):
    """True, False, or None: cannot say. `value` is no list."""
    kind = kind_of(value)
    if operator in ("equals", "in"):
        operands = [operand] if operator == "equals" else operand
        alike = [one for one in operands if kind_of(one) == kind]
        if not alike:
            return None
        return any(float(one) == float(value) if kind == "number" else one == value for one in alike)
    if operator in ("less", "at_most", "greater", "at_least"):
        return compare(operator, float(value), float(operand)) if kind == "number" else None
    if kind != "string":
        return None
    if operator in SEMVERS:
        version = version_of(value)
        return None if version is None else compare(operator[len("semver_") :], version, version_of(operand))
    if operator in ("before", "after"):
        instant = instant_of(value)
        return None if instant is None else compare("less" if operator == "before" else "greater", instant, instant_of(operand))
    if operator == "matches":
        return pattern_of(operand).search(value) is not None
    return {"contains": operand in value, "starts_with": value.startswith(operand), "ends_with": value.endswith(operand)}[operator]


# Evaluation


class Ruleset:
    """`lists` maps a cohort's key to the hashes, as hex, of the list that has come for it."""

    def __init__(self, flags, cohorts=(), lists=None):
        self.flags, self.cohorts = {}, {}
        self.lists = {key: {int(hash, 16) for hash in hashes} for key, hashes in (lists or {}).items()}
        self.unsupported = set()
        for items, into, read in ((flags, self.flags, read_flag), (cohorts, self.cohorts, read_cohort)):
            for item in items:
                if type(item) is not dict or type(item.get("key")) is not str:
                    continue
                into[item["key"]] = item
                self.unsupported.discard((id(into), item["key"]))
                try:
                    read(item)
                except Unsupported:
                    self.unsupported.add((id(into), item["key"]))
        self.blocked = set()
        while True:
            more = {key for key in self.flags if key not in self.blocked and self.is_readable(key) and self.names_unsupported(key)}
            if not more:
                break
            self.blocked |= more

    def is_readable(self, key):
        return (id(self.flags), key) not in self.unsupported

    def names_unsupported(self, key):
        flag = self.flags[key]
        conditions = [condition for rule in flag.get("rules", []) for condition in rule.get("if", [])]
        cohorts = flag["rollout"].get("cohorts", []) + [one["in_cohort"] for one in conditions if "in_cohort" in one]
        if any((id(self.cohorts), cohort) in self.unsupported for cohort in cohorts):
            return True
        needed = [prerequisite["flag"] for prerequisite in flag.get("prerequisites", [])]
        return any(one in self.blocked or not self.is_readable(one) for one in needed if one in self.flags)

    def evaluate(self, key, context):
        context = {name: value for name, value in context.items() if value is not None}
        self.looks = 0
        if key not in self.flags:
            return error("FLAG_NOT_FOUND")
        return self.answer(self.flags[key], context, 0)

    def answer(self, flag, context, depth):
        if not self.is_readable(flag["key"]):
            variants, off = flag.get("variants"), flag.get("off")
            known = type(variants) is dict and type(off) is str and kind_of(variants.get(off)) in ("boolean", "string", "number", "object")
            return served(flag, off, "DISABLED") if known and flag.get("killed") is True else error("PARSE_ERROR")
        if flag["killed"] or not flag["enabled"]:
            return served(flag, flag["off"], "DISABLED")
        if flag["key"] in self.blocked:
            return error("PARSE_ERROR")
        if not all(self.is_met(prerequisite, context, depth) for prerequisite in flag.get("prerequisites", [])):
            return served(flag, flag["off"], "DEFAULT")
        unit = unit_of(context, flag["unit"])
        if unit is not None and unit.decode() in flag.get("overrides", {}):
            return served(flag, flag["overrides"][unit.decode()], "TARGETING_MATCH")
        for rule in flag.get("rules", []):
            if all(self.holds(condition, context) for condition in rule.get("if", [])):
                return {**self.serve(flag, rule["serve"], unit, "TARGETING_MATCH", "outside"), "rule": rule["id"]}
        return self.roll_out(flag, context, unit)

    def is_met(self, prerequisite, context, depth):
        if depth >= DEPTH or self.looks >= LOOKS:
            return False
        self.looks += 1
        flag = self.flags.get(prerequisite["flag"])
        return flag is not None and self.answer(flag, context, depth + 1)["variant"] in prerequisite["variants"]

    def roll_out(self, flag, context, unit):
        rollout = flag["rollout"]
        if any(self.is_member(cohort, context) is True for cohort in rollout.get("cohorts", [])):
            answer = self.serve(flag, rollout["serve"], unit, "TARGETING_MATCH", "cohort")
            return answer if answer["error"] else {**answer, "reason": "TARGETING_MATCH"}
        otherwise = flag["off"] if rollout.get("otherwise") is None else rollout["otherwise"]
        if rollout["millionths"] in (0, MILLION):
            plain = not any(flag.get(name) for name in ("prerequisites", "overrides", "rules")) and not rollout.get("cohorts")
            reason = "STATIC" if plain else "DEFAULT"
            if rollout["millionths"] == 0:
                return served(flag, otherwise, reason, "control")
            return self.serve(flag, rollout["serve"], unit, reason, "treatment")
        if unit is None:
            return error("TARGETING_KEY_MISSING")
        bucket = bucket_of(unit, seed_of(flag["seed"]))
        if bucket < rollout["millionths"]:
            answer = self.serve(flag, rollout["serve"], unit, "SPLIT", "treatment")
        else:
            answer = served(flag, otherwise, "SPLIT", "control")
        return {**answer, "bucket": bucket}

    def serve(self, flag, serve, unit, reason, arm):
        if type(serve) is str:
            return served(flag, serve, reason, arm)
        if unit is None:
            return error("TARGETING_KEY_MISSING")
        place = bucket_of(unit, seed_of(flag["seed"] + "/split"))
        end = 0
        for part in serve:
            end += part["millionths"]
            if place < end:
                return served(flag, part["variant"], "SPLIT", arm)

    def holds(self, condition, context):
        if "in_cohort" in condition:
            said = self.is_member(condition["in_cohort"], context)
        else:
            (operator,) = condition.keys() - {"not", "attribute"}
            said = self.say(operator, condition[operator], context.get(condition["attribute"]))
        return said is not None and said != condition.get("not", False)

    def say(self, operator, operand, value):
        if operator == "exists":
            return (value is not None) == operand
        if value is None:
            return None
        if type(value) is list:
            return any(type(one) is not list and ask(operator, operand, one) is True for one in value)
        return ask(operator, operand, value)

    def is_member(self, key, context):
        cohort = self.cohorts.get(key)
        if cohort is None:
            return None
        listed = False
        if cohort.get("list") is not None:
            unit = unit_of(context, cohort["unit"])
            listed = None if unit is None else xxhash.xxh3_64_intdigest(unit, seed=int(cohort["seed"], 16)) in self.lists.get(key, ())
        if not listed and cohort.get("if") and all(self.holds(condition, context) for condition in cohort["if"]):
            return True
        return listed


def served(flag, variant, reason, arm="outside"):
    value = flag["variants"][variant]
    return {"variant": variant, "value": value, "reason": reason, "error": None, "rule": None, "bucket": None, "arm": arm}


def error(which):
    return {"variant": None, "value": None, "reason": "ERROR", "error": which, "rule": None, "bucket": None, "arm": "outside"}


# The files


def counts():
    """Who is in among ten million units, and units at both ends. Takes some seconds."""
    key, users, steps = "US-123-checkout", 10_000_000, {"0.0001": 1, "0.1": 1_000, "1": 10_000, "50": 500_000}
    seed, hash_of = seed_of(key), xxhash.xxh3_64_intdigest
    # bucket < m exactly where hash < m * 2^64 / 10^6, rounded up: one comparison instead of a product of 128 bits.
    bounds = {name: -(-millionths * 2**64 // MILLION) for name, millionths in steps.items()}
    small, half, last = bounds["1"], bounds["50"], -(-(MILLION - 1) * 2**64 // MILLION)
    few, halves, ends = [], 0, []
    for index in range(users):
        hash = hash_of(b"user-%d" % index, seed)
        if hash < half:
            halves += 1
            if hash < small:
                few.append((hash, index))
        elif hash >= last:
            ends.append(index)
    inside = {name: sum(hash < bound for hash, _ in few) for name, bound in bounds.items()} | {"50": halves}
    first = [index for hash, index in few if hash < bounds["0.0001"]]
    assert all(bucket_of(b"user-%d" % index, seed) == 0 for index in first)
    assert all(bucket_of(b"user-%d" % index, seed) == MILLION - 1 for index in ends)
    return {"seed": key, "prefix": "user-", "users": users, "percentages": inside, "bucket_0": f"user-{min(first)}", "bucket_999999": f"user-{min(ends)}"}


def files():
    """File name to text: one vector a line."""
    import cases

    written = {}
    for name, vectors in cases.all_vectors().items():
        lines = []
        for vector in vectors:
            ruleset = vector["ruleset"]
            answer = Ruleset(ruleset["flags"], ruleset["cohorts"], ruleset["lists"]).evaluate(vector["flag"], vector["context"])
            lines.append(json.dumps({**vector, "expect": answer}, ensure_ascii=False))
        names = [vector["name"] for vector in vectors]
        assert len(set(names)) == len(names), f"{name}: two vectors have one name"
        written[f"{name}.json"] = "[\n" + ",\n".join(lines) + "\n]\n"
    written["counts.json"] = json.dumps(counts(), indent=2) + "\n"
    return written


def check():
    wanted = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("*.json")}
    wrong = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    for name in wrong:
        print(f"{name}: differs from what reference.py says", file=sys.stderr)
        for left, right in zip(there.get(name, "").splitlines(), wanted.get(name, "").splitlines()):
            if left != right:
                print(f"  is       {left}\n  should be {right}", file=sys.stderr)
                break
    if not wrong:
        vectors = sum(text.count('"expect": ') for text in wanted.values())
        print(f"{vectors} vectors in {len(wanted) - 1} files, and the counts of ten million units, agree")
    return 1 if wrong else 0


def print_served(options):
    seed, millionths = seed_of(options.seed), Decimal(options.percentage) * 10_000
    if millionths != int(millionths) or not 0 <= millionths <= MILLION:
        sys.exit("a percentage is 0 to 100, with at most four decimals")
    bound = -(-int(millionths) * 2**64 // MILLION)
    prefix, hash_of = options.prefix.encode("utf-8"), xxhash.xxh3_64_intdigest
    inside = [index for index in range(options.users) if hash_of(prefix + b"%d" % index, seed) < bound]
    lines = "".join(f"{index}\n" for index in inside)
    print(f"{len(inside)} {xxhash.xxh3_64_hexdigest(lines.encode())}" if options.digest else lines, end="\n" if options.digest else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    commands = parser.add_subparsers(dest="command")
    asked = commands.add_parser("served")
    asked.add_argument("--seed", required=True)
    asked.add_argument("--percentage", required=True)
    asked.add_argument("--users", type=int, required=True)
    asked.add_argument("--prefix", default="user-")
    asked.add_argument("--digest", action="store_true")
    options = parser.parse_args()
    if options.command == "served":
        return print_served(options)
    if options.write:
        for name, text in files().items():
            (HERE / name).write_text(text, encoding="utf-8")
    if options.write or options.check:
        return check() if options.check else None
    parser.print_help()
    return 2


if __name__ == "__main__":
    sys.exit(main())
