"""Render a picture and a video: send them, ask until it is done, download the result.

FARM_API_KEY=sk-... python poll.py character.png driver.mp4 out.mp4
"""

import os
import sys
import time

import requests

API = os.environ.get("FARM_API_URL", "http://127.0.0.1:8080")
EVERY = float(os.environ.get("POLL_SECONDS", "3"))


def main(picture: str, video: str, output: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['FARM_API_KEY']}"}
    with open(picture, "rb") as ref_image, open(video, "rb") as driving_video:  # noqa: PTH123 - as most would write it
        files = {"ref_image": ref_image, "driving_video": driving_video}
        sent = requests.post(f"{API}/api/render", headers=headers, files=files, timeout=300)
    if not sent.ok:
        body = sent.json()
        detail = body.get("detail", body)
        sys.exit(f"{detail['error_code']}: {detail['message']}")
    job_id = sent.json()["job_id"]

    while True:  # whoever knows the id may ask: no key is needed
        job = requests.get(f"{API}/api/render/{job_id}", timeout=30).json()
        print(job["status"], job["progress_pct"], flush=True)
        if job["status"] == "complete":
            break
        if job["status"] in ("failed", "cancelled"):
            sys.exit(f"{job['error_code']}: {job['error_message']}")
        time.sleep(EVERY)

    with requests.get(job["cdn_url"], stream=True, timeout=300) as result, open(output, "wb") as file:  # noqa: PTH123 - as most would write it
        result.raise_for_status()
        for piece in result.iter_content(1 << 20):
            file.write(piece)


if __name__ == "__main__":
    main(*sys.argv[1:4])
