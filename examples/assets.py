"""Prepare a character and a scene once, let the character play the scene's lead, and download the result.

FARM_API_KEY=sk-... python assets.py character.png driver.mp4 out.mp4
"""

import json
import os
import sys
import time

import requests

API = os.environ.get("FARM_API_URL", "http://127.0.0.1:8080")
EVERY = float(os.environ.get("POLL_SECONDS", "3"))
HEADERS = {"Authorization": f"Bearer {os.environ.get('FARM_API_KEY', '')}"}


def call(method, path, **options):
    """The answer's fields, which are at the top and, of some answers, under `data` as well."""
    answer = requests.request(method, API + path, headers=HEADERS, timeout=300, **options)
    body = answer.json()
    if not answer.ok:
        detail = body.get("detail", body)
        sys.exit(f"{detail['error_code']}: {detail['message']}")
    return body.get("data", body)


def wait(path, done):
    while True:
        found = call("GET", path)
        print(path, found["status"], flush=True)
        if found["status"] == done:
            return found
        if found["status"] in ("failed", "cancelled"):
            sys.exit(f"{found['error_code']}: {found['error_message']}")
        time.sleep(EVERY)


def main(picture: str, video: str, output: str) -> None:
    with open(picture, "rb") as image:  # noqa: PTH123 - as most would write it
        taken = call("POST", "/api/characters/preprocess", data={"name": "Hero"}, files={"image": image})
    character = taken["character_id"]
    with open(video, "rb") as clip:  # noqa: PTH123 - as most would write it
        taken = call("POST", "/api/scenes/preprocess", data={"name": "Stage"}, files={"video": clip})
    scene = taken["scene_id"]
    wait(f"/api/characters/{character}", "ready")
    people = wait(f"/api/scenes/{scene}", "ready")["segments"]

    mapping = json.dumps({people[0]["uuid"]: character})
    order = {"scene_id": scene, "character_mapping": mapping}
    job_id = call("POST", "/api/render", data=order)["job_id"]
    job = wait(f"/api/render/{job_id}", "complete")
    with open(output, "wb") as file:  # noqa: PTH123 - as most would write it
        file.write(requests.get(job["cdn_url"], timeout=300).content)

    second = call("POST", "/api/render", data={"scene_id": scene, "character_id": character})["job_id"]
    print("cancelled:", call("DELETE", f"/api/render/{second}")["status"])
    for template in call("GET", "/api/templates")["templates"]:
        made = {"template_id": template["template_id"], "name": template["name"]}
        print("imported:", call("POST", "/api/scenes/import", json=made)["status"])
    call("DELETE", f"/api/characters/{character}")
    call("DELETE", f"/api/scenes/{scene}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
