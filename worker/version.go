package worker

import "golang.org/x/mod/semver"

// Version is the version of this library, of the command and of the SQL they carry.
const Version = "0.1.0"

// IsNewer says whether functions of a version are newer than this program, which then neither uses nor replaces them.
func IsNewer(version string) bool {
	return semver.Compare("v"+version, "v"+Version) > 0
}
