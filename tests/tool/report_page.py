# SPDX-License-Identifier: MIT
"""report_page.py PAGE MAPS.json [--thinned PAGE MAPS.json] [--divergent PAGE] [--findings PAGE]: opens a report in a browser, uses its controls, and looks for what must be there.

MAPS.json is what `vmakit trace --json` wrote of the same run. With --pictures DIR it also leaves pictures of the page.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import browser  # noqa: E402

failures = []


def check(good, what, *seen):
    if not good:
        failures.append(what)
        print("FAILED", what, *seen)


def text(page, selector):
    return page.run("document.querySelector(%s).innerText" % json.dumps(selector))


def event(page):
    return int(text(page, "#position").split()[1].replace("\u202f", ""))


def listed(page):
    """The areas as the list says them: [range, permissions, name]."""
    return page.run("""[...document.querySelectorAll("#areas tbody tr:not(.gap)")].map((row) => [
        row.cells[0].innerText.trim().replace("\\u2013", "-"), row.cells[2].innerText,
        [...row.cells[3].childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join("")])""")


def expected(maps, number):
    areas = maps["processes"][number]["map"]["areas"]
    return [["%x-%x" % (int(a["start"], 0), int(a["end"], 0)), a["perms"], a["name"] or ""] for a in areas]


def last_event(page):
    return page.run("Number(document.querySelector('#time').max) + 1")


def check_player(page):
    last = last_event(page)
    check(event(page) == last, "the page begins at the last event", event(page), last)
    page.click("#first")
    check(event(page) == 1, "the button First", event(page))
    page.click("#forward")
    page.click("#forward")
    page.click("#back")
    check(event(page) == 2, "the buttons forward and back", event(page))
    page.run("document.querySelector('#time').focus()")
    page.key("ArrowRight", 39)
    check(event(page) == 3, "the slider by keyboard", event(page))
    page.key("End", 35)
    check(event(page) == last, "the slider's End key", event(page))
    page.click("#time", x=0.5)
    check(1 < event(page) < last, "the slider by mouse", event(page))
    page.click("#play")
    check(page.run("document.querySelector('#play').getAttribute('aria-label')") == "Pause", "Play becomes Pause")
    page.wait(1.2)
    reached = event(page)
    check(reached > 1, "playing goes on", reached)
    page.click("#play")
    page.click("#last")
    check(event(page) == last, "the button Last", event(page))


def check_picture(page, press):
    """Looks for the areas under a few points of the picture; their details must be of the list."""
    met = 0
    for height in (0.02, 0.3, 0.5, 0.7, 0.99):
        press("#over", 0.97, height)
        words = text(page, "#area")
        if "Range" not in words:
            continue
        met += 1
        span = page.run("document.querySelector('#area dd').innerText").replace("\u2013", "-")
        check(span in [area[0] for area in listed(page)], "the area of the picture is in the list", span)
    check(met >= 2, "areas are found in the picture", met)
    press("#over", 0.1, 0.5)
    check(event(page) < last_event(page), "a tap into the picture goes back in time", event(page))
    page.click("#last")
    before = page.run("document.querySelector('#map').toDataURL()")
    page.click("input[value=even]")
    check(page.run("document.querySelector('#map').toDataURL()") != before, "even heights draw another picture")
    page.click("input[value=true]")
    check(page.run("document.querySelector('#map').toDataURL()") == before, "and the first one again")
    page.click("#legend li:first-child button")
    check(page.run("document.querySelector('#legend button').getAttribute('aria-pressed')") == "true", "the legend")
    check(page.run("document.querySelector('#map').toDataURL()") != before, "one kind alone")
    page.click("#legend li:first-child button")


def check_calls(page, maps):
    rows = page.run("""[...document.querySelectorAll("#by-kind tbody tr")].map((r) =>
        [r.cells[0].innerText, Number(r.cells[1].innerText.replace(/\\u202f/g, ""))])""")
    wanted = {}
    for process in maps["processes"]:
        for name, nr in process["calls"].items():
            wanted[name] = wanted.get(name, 0) + nr
    found = {name: nr for name, nr in rows if name in wanted}
    check(found == wanted, "calls by kind are those of --json", found, wanted)
    count = "document.querySelectorAll('#by-caller tbody tr').length"
    check(page.run(count) > 0, "there are callers")
    page.run("document.querySelector('#find').focus()")
    page.ask("Input.insertText", text="no such file")
    check(page.run(count) == 0, "the callers can be searched")
    page.run("document.querySelector('#find').value = ''")
    page.ask("Input.insertText", text="ld-")
    check(page.run(count) > 0, "ld.so calls")
    before = page.run("document.querySelector('#growth').toDataURL()")
    page.click("#limit")
    for _ in range(20):
        after = page.run("document.querySelector('#growth').toDataURL()")
        if after != before:
            break
        page.wait(0.1)
    check(after != before, "the limit is drawn")
    page.click("#log li:first-child button")
    check(event(page) < last_event(page), "a call of the log", event(page))
    page.click("#next-match")
    page.click("#last")


def check_processes(page, maps):
    """Every process's last map is the one that --json wrote."""
    nr = page.run("document.querySelectorAll('#process option').length")
    check(nr == len(maps["processes"]), "all processes can be chosen", nr)
    for number in range(min(nr, 8)):
        page.run("document.querySelector('#process').focus()")
        if number > 0:
            page.key("ArrowDown", 40)
        check(page.run("document.querySelector('#process').selectedIndex") == number, "choice by keyboard", number)
        page.click("#last")
        if maps["processes"][number]["map"] is not None:
            check(listed(page) == expected(maps, number), "areas of process %d" % number, listed(page)[:3],
                  expected(maps, number)[:3])
    page.key("Home", 36)
    page.run("document.querySelector('#process').selectedIndex = 0")
    page.run("document.querySelector('#process').dispatchEvent(new Event('change'))")


def check_still(page, where):
    check(page.errors == [], where + ": the browser complains", page.errors)
    foreign = [url for url in page.requests if not url.startswith(("file:", "data:"))]
    check(foreign == [] and sum(url.startswith("file:") for url in page.requests) == 1, where + ": it asks for more",
          page.requests)


def check_size(page, width):
    check(page.run("document.documentElement.scrollWidth") <= width, "nothing is wider than %d pixels" % width,
          page.run("document.documentElement.scrollWidth"))
    small = page.run("""[...document.querySelectorAll("button, select, input[type=range]")].filter((e) => {
        const b = e.getBoundingClientRect(); return b.width > 0 && (b.height < 24 || b.width < 24); }).length""")
    check(small == 0, "no control is too small to tap", small)
    nameless = page.run("""[...document.querySelectorAll("button, select, input")].filter((e) => !(e.innerText ||
        e.getAttribute("aria-label") || (e.labels && e.labels.length))).map((e) => e.outerHTML)""")
    check(nameless == [], "every control has a name", nameless)


def visit(path, maps, pictures, phone):
    page = browser.Browser(390 if phone else 1280, 844 if phone else 900, dark=phone, touch=phone)
    try:
        page.open(path)
        check(page.run("document.compatMode") == "CSS1Compat", "a standards document")
        check_size(page, 390 if phone else 1280)
        if phone:
            check_picture(page, page.tap)
        else:
            check_player(page)
            check_picture(page, page.click)
            check_calls(page, maps)
            check_processes(page, maps)
        check_still(page, "phone" if phone else "desktop")
        if pictures:
            page.run("scrollTo(0, 0)")
            page.picture(os.path.join(pictures, "phone.png" if phone else "desktop.png"))
    finally:
        page.close()


def visit_thinned(path, maps):
    """A run of which not every map was kept: said, and the last maps are right all the same."""
    page = browser.Browser(1280, 900)
    try:
        page.open(path)
        check("too long to keep the map after every call" in text(page, "#notices"), "the notice", text(page, "#notices"))
        check_processes(page, maps)
        check_still(page, "thinned")
    finally:
        page.close()


def visit_divergent(path):
    """What was found can be gone to."""
    page = browser.Browser(390, 844, touch=True)
    try:
        page.open(path)
        check("divergence" in text(page, "#verdict") and "No" not in text(page, "#verdict"), "the verdict", text(page, "#verdict"))
        check("the engine gives" in text(page, "#divergences"), "the divergence", text(page, "#divergences"))
        page.click("#first")
        page.tap("#divergences button")
        check(event(page) > 1 and "munmap" in text(page, "#now"), "its moment", text(page, "#now"))
        check_still(page, "divergent")
    finally:
        page.close()


def visit_pages(path):
    """Findings of --page-size."""
    page = browser.Browser(1280, 900)
    try:
        page.open(path)
        words = text(page, "#pages")
        check("EINVAL: the offset is not a multiple of 16 KiB" in words and "pages4k+0x" in words, "the findings", words)
        page.click("#first")
        page.click("#pages .said button")
        check(event(page) > 1 and "(" in text(page, "#now"), "the moment of a finding", text(page, "#now"))
        page.click("#pages details:last-of-type summary")
        check("asks for the page size" in text(page, "#pages"), "the C library's findings", text(page, "#pages"))
        check_still(page, "findings")
    finally:
        page.close()


def check_that_faults_show(path):
    """The same page with its data cut off must not pass: the browser's complaint arrives here."""
    broken = path + ".broken.html"
    with open(path) as whole, open(broken, "w") as out:
        out.write(whole.read().replace('"format":1', '"format":', 1))
    page = browser.Browser(1280, 900)
    try:
        page.open(broken)
        page.wait(0.2)
        check(any("SyntaxError" in error for error in page.errors), "a broken page is noticed", page.errors)
    finally:
        page.close()
        os.unlink(broken)


parser = argparse.ArgumentParser()
parser.add_argument("page")
parser.add_argument("maps")
parser.add_argument("--thinned", nargs=2)
parser.add_argument("--divergent")
parser.add_argument("--findings")
parser.add_argument("--pictures")
given = parser.parse_args()
with open(given.maps) as stream:
    wanted_maps = json.load(stream)
visit(given.page, wanted_maps, given.pictures, phone=False)
visit(given.page, wanted_maps, given.pictures, phone=True)
if given.thinned:
    with open(given.thinned[1]) as stream:
        visit_thinned(given.thinned[0], json.load(stream))
if given.divergent:
    visit_divergent(given.divergent)
if given.findings:
    visit_pages(given.findings)
check_that_faults_show(given.page)
print("%d failures" % len(failures))
sys.exit(1 if failures else 0)
