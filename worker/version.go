package worker

// Version is the version of this library, of the command and of the SQL they carry.
const Version = "0.1.0"
