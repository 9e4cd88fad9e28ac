namespace RepVgg.Samples.CommandLine;

/// <summary>The exception for an invalid command line; the exit code is 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
