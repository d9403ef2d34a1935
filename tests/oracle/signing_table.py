"""Known answers of signing and authentication, all public: a worthless key, worked by the
official clients (py-clob-client 0.34.6 and py-clob-client-v2 1.2.1)."""

from __future__ import annotations

KEY = "0x" + "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563

LOGIN = {
    "timestamp_s": 1795000000,
    "nonce": 0,
    "signature": "0xd2390edf0b745ba066b0bd067595edabd9387b2a29a4e25efb7dc97b400258e2"
    "5078aed52ddf24eebd02d0e09e6bedfee9d0d285d2c26a014372e1e8a526d92a1c",
}

HMAC_SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="
HMAC_TIMESTAMP_S = 1795000000
HMAC = (
    (
        "POST",
        "/v1/heartbeats",
        b'{"heartbeat_id":""}',
        "x6yH-B8h6OroeC41xBtigQDQCj_NAr0G2z5MvkMK_VE=",
    ),
    ("GET", "/data/orders", b"", "MpLWRjdbdNHixiE-6cvaMnbxlSL_IvVIijJL0B-5pk8="),
)

DOMAINS = {
    "standard": "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2",
    "neg_risk": "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a",
    "v3": "466c63910185bbd55e8679264200c4e0abdcbb0c6264eb3d41d13326022e095b",
}

ORDER = {
    "salt": 479249096354,
    "token_id": TOKEN,
    "maker_amount": 5200000,
    "taker_amount": 10000000,
    "side": 0,
    "timestamp_ms": 1795000000000,
}

DIGESTS = {
    "standard": "0xbcc4849a1b1a60c66c37f2f327b1464c1a07a6af857e0732fac6fd123c0cb38e",
    "neg_risk": "0x91e4ecbc9d1bccf7c69224c2bdbbf1baf57198b55312d13ad990dc51626786a6",
    "v3": "0xb46e25c5e587479e6a58ca2589e371dc6584b2cf1768fd49354adcbb7aa4ba5e",
}
SIGNATURES = {
    "standard": "0xfaf20345d4422dae20237bed6285a7cd77589638ca0e59c20926a8146c87891b"
    "3436da672c8f8a9f1ce49c1f85733df1c1cf668cad6d75e89cd8635529e575e21b",
    "neg_risk": "0x8a299031720fdfeba820da9c5a323a07bee47ed893b51183553d67b54514966b"
    "4e9ff93b82089bb21cf368af05e87b3dcec918a6c133b947ed2b1006518801e21b",
    "v3": "0x03e3b6e0f59523d8cdcf319cae95332ea53b1bed954ee5ead946736f616c54ca"
    "393ae8f474786dd429bdb1cfb7f5d863b78c018acd9389088540337fb54c39c81c",
}

WALLET = "0x2222222222222222222222222222222222222222"
WALLET_DIGEST = "0x05a2d86188467fe1477b439ca20a2dc0b48b8f9820a431fbd0b7496340734123"

LIMIT_AMOUNTS = (
    # tick, price (1/10,000), size (lots), collateral, shares
    (100, 5200, 10_000_000, 5200000, 10000000),
    (100, 5700, 33_330_000, 18998100, 33330000),
    (10, 370, 101_010_000, 3737370, 101010000),
    (25, 2525, 7_770_000, 1961925, 7770000),
    (1, 123, 1_234_560_000, 15185088, 1234560000),
)
