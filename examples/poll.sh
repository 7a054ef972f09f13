#!/bin/sh
# Render a picture and a video: send them, ask until it is done, download the result.
#     FARM_API_KEY=sk-... ./poll.sh character.png driver.mp4 out.mp4
set -eu
api=${FARM_API_URL:-http://127.0.0.1:8080}
every=${POLL_SECONDS:-3}

# The string under a name at the top of a JSON object, one field a line.
field() {
    python3 -m json.tool | sed -n 's/^    "'"$1"'": "\(.*\)",\{0,1\}$/\1/p'
}

sent=$(curl -sS -H "Authorization: Bearer $FARM_API_KEY" \
    -F "ref_image=@$1" -F "driving_video=@$2" "$api/api/render")
job_id=$(printf '%s' "$sent" | field job_id)
if [ -z "$job_id" ]; then
    printf '%s: %s\n' "$(printf '%s' "$sent" | field error_code)" "$(printf '%s' "$sent" | field message)" >&2
    exit 1
fi

while :; do # whoever knows the id may ask: no key is needed
    job=$(curl -sS "$api/api/render/$job_id")
    status=$(printf '%s' "$job" | field status)
    echo "$status"
    case $status in
        complete) break ;;
        failed | cancelled)
            printf '%s' "$job" | field error_message >&2
            exit 1
            ;;
    esac
    sleep "$every"
done

curl -sS --fail -o "$3" "$(printf '%s' "$job" | field cdn_url)"
