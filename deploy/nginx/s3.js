// AWS Signature Version 4 for a GET from a bucket that is addressed by its path.
//
// Keys hold no character that an address would have to quote (renderfarm/storage/base.py), and cdn.conf.template
// passes on nothing else, so that the path is signed as it is.

import crypto from 'crypto';

const env = process.env;
const ALGORITHM = 'AWS4-HMAC-SHA256';
const SIGNED = 'host;x-amz-content-sha256;x-amz-date';
const PAYLOAD = 'UNSIGNED-PAYLOAD';

function hmac(key, text) {
    return crypto.createHmac('sha256', key).update(text).digest();
}

function sha256(text) {
    return crypto.createHash('sha256').update(text).digest('hex');
}

// Now, as 20260131T235959Z; the same for all that a request asks.
function date(r) {
    return new Date().toISOString().replace(/[-:]|\.\d+/g, '');
}

// The Authorization header; empty, and so left out, without a key.
function authorization(r) {
    if (!env.CDN_ACCESS_KEY) {
        return '';
    }
    const now = r.variables.s3_date;
    const day = now.slice(0, 8);
    const headers = `host:${r.variables.proxy_host}\nx-amz-content-sha256:${PAYLOAD}\nx-amz-date:${now}\n`;
    // nginx asks for what it caches by GET, whatever it was asked by.
    const request = `GET\n/${env.CDN_BUCKET}${r.uri}\n\n${headers}\n${SIGNED}\n${PAYLOAD}`;
    const scope = `${day}/${env.CDN_REGION}/s3/aws4_request`;
    const signing = [day, env.CDN_REGION, 's3', 'aws4_request'].reduce(hmac, 'AWS4' + env.CDN_SECRET_KEY);
    const text = `${ALGORITHM}\n${now}\n${scope}\n${sha256(request)}`;
    const signature = hmac(signing, text).toString('hex');
    return `${ALGORITHM} Credential=${env.CDN_ACCESS_KEY}/${scope}, SignedHeaders=${SIGNED}, Signature=${signature}`;
}

export default { date, authorization };
