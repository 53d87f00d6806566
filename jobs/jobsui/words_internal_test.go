package jobsui

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

func TestExpressionsInWords(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"* * * * *":           "every minute",
		"*/1 * * * *":         "every minute",
		"*/15 * * * *":        "every 15 minutes",
		"*/10 * * * * *":      "every 10 seconds",
		"0 */5 * * * *":       "every 5 minutes",
		"@every 5m":           "every 5 minutes",
		"@every 90s":          "every 90 seconds",
		"@every 48h":          "every 48 hours",
		"@every 1h":           "every hour",
		"0 * * * *":           "every hour",
		"@hourly":             "every hour",
		"17 * * * *":          "every hour, 17 minutes past",
		"1 * * * *":           "every hour, one minute past",
		"7 */4 * * *":         "every 4 hours from 00:07",
		"0 9-17 * * *":        "every hour from 09:00 to 17:00",
		"30 9-17 * * mon-fri": "every hour from 09:30 to 17:30, Monday to Friday",
		"*/20 9-17 * * *":     "every 20 minutes from 09:00 to 17:40",
		"17 3 * * *":          "every day at 03:17",
		"@daily":              "every day at 00:00",
		"0 6,12,18 * * ?":     "every day at 06:00, 12:00 and 18:00",
		"0 9 * * 1-5":         "at 09:00, Monday to Friday",
		"0 9 * * mon,WED":     "at 09:00 on Monday and Wednesday",
		"0 9 * * 0":           "at 09:00 on Sunday",
		"0 9 * * 7":           "at 09:00 on Sunday",
		"0 9 * jan,jul 1":     "at 09:00 on Monday in January and July",
		"0 6 1 * *":           "at 06:00 on day 1 of the month",
		"0 6 1,15 * *":        "at 06:00 on days 1 and 15 of the month",
		"0 6 L * *":           "at 06:00 on the last day of the month",
		"@yearly":             "at 00:00 on day 1 of January",
		"0 0 29 2 *":          "at 00:00 on day 29 of February",
		"0 6 * 6-8 *":         "at 06:00 each day of June, July and August",
		"H * * * *":           "once an hour, at a minute of its own",
		"H H * * *":           "every day at a time of its own",
		"H H * * sat":         "at a time of its own on Saturday",
		"*/7 * * * *":         "", // 56 and 0 are four minutes apart
		"0 */5 * * *":         "",
		"*/5 */2 * * *":       "",
		"0 9 1 * 1":           "", // either day is enough
		"0 8 * * 1#2":         "",
		"0 8 15W * *":         "",
		"0 8 */2 * *":         "",
		"5,35 * * * *":        "",
		"H(0-4) 3 * * *":      "",
		"30 0 6 1 * *":        "",
		"0 6 * 1-12/3 *":      "",
		"0 6 10-12 * *":       "",
		"0 22-23 * * fri-sat": "every hour from 22:00 to 23:00, Friday to Saturday",
		"*/30 8-9 * 12 mon":   "every 30 minutes from 08:00 to 09:30 on Monday in December",
		"0 0 1 january *":     "invalid",
		"60 * * * *":          "invalid",
		"* * * *":             "invalid",
		"@every 1500ms":       "invalid",
		"@sometimes":          "invalid",
		"0 0 32 * *":          "invalid",
		"0 0 0 * *":           "invalid",
		"0 24 * * *":          "invalid",
		"0 17-9 * * *":        "invalid",
		"*/0 * * * *":         "invalid",
		"0 0 * * fri-mon":     "invalid",
		"+1 * * * *":          "invalid",
	} {
		_, err := jobs.Schedule{Name: "x", Spec: spec}.Next(time.Unix(0, 0), 1)
		if want == "invalid" {
			require.Error(t, err, spec)
			want = ""
		} else {
			require.NoError(t, err, spec)
		}
		require.Equal(t, want, words(spec), spec)
	}
}
