"""Does in this kernel what `DIR/NUMBER.json` files ask: namespaces by a script, flows by probe.py. Answers in `DIR/NUMBER.out`."""

import json, os, subprocess, sys, threading, time

folder, probe_program = sys.argv[1:]
probe = subprocess.Popen([sys.executable, probe_program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
waiting = {}


def hand_out():
    for line in probe.stdout:
        answer = json.loads(line)
        waiting.pop(answer["id"])(answer["results"])


def ask(number, request):
    answered, box = threading.Event(), []
    waiting[number] = lambda results: (box.append(results), answered.set())
    probe.stdin.write(json.dumps({**request, "id": number}) + "\n")
    probe.stdin.flush()
    answered.wait()
    return box[0]


def work(number, case):
    made = subprocess.run(["bash"], input=case["script"] + "finished=1\n", capture_output=True, text=True)
    if made.returncode != 0:
        return {"error": made.stderr.strip() or f"bash ended with {made.returncode}"}
    try:
        return {"results": ask(number, case["request"])}
    finally:
        record = f"/run/cnilab-realize/{case['prefix']}"
        with open(record) as names:
            subprocess.run(["xargs", "-n", "1", "ip", "netns", "del"], stdin=names)
        os.unlink(record)


def answer(number, case):
    path = f"{folder}/{number}.out"
    with open(path + ".new", "w") as out:
        json.dump(work(number, case), out)
    os.rename(path + ".new", path)  # whole, or not there


threading.Thread(target=hand_out, daemon=True).start()
number = 1
while True:
    try:
        with open(f"{folder}/{number}.json") as request:
            case = json.load(request)
    except FileNotFoundError:
        if os.path.exists(f"{folder}/end"):
            break
        time.sleep(0.05)
        continue
    threading.Thread(target=answer, args=(number, case)).start()
    number += 1
probe.stdin.close()
