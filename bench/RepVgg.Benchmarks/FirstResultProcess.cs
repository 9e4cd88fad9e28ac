using System.Diagnostics;
using System.Runtime.InteropServices;

namespace RepVgg.Benchmarks;

/// <summary>What a process took to its first result.</summary>
/// <param name="Milliseconds">From the start of the process to the last byte of the logits.</param>
/// <param name="PeakMebibytes">Its peak resident memory until then.</param>
/// <param name="Logits">The logits that it gave.</param>
internal sealed record FirstResult(double Milliseconds, double PeakMebibytes, float[] Logits);

/// <summary>A program that writes a network's logits as raw floats and then waits for the end of its input.</summary>
/// <param name="command">The program and its arguments.</param>
internal sealed class FirstResultProcess(params string[] command)
{
    /// <summary>Starts the program, and ends it when it has answered.</summary>
    /// <param name="classes">Number of logits.</param>
    public FirstResult Run(int classes)
    {
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        var logits = new float[classes];
        long begin = Stopwatch.GetTimestamp();
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{command[0]} did not start.");
        var answer = MemoryMarshal.AsBytes(logits.AsSpan());
        int got = process.StandardOutput.BaseStream.ReadAtLeast(answer, answer.Length, throwOnEndOfStream: false);
        double milliseconds = Stopwatch.GetElapsedTime(begin).TotalMilliseconds;
        if (got < answer.Length)
            throw new InvalidOperationException($"'{string.Join(' ', command)}' ended after {got} bytes of {answer.Length}; its message stands above.");
        process.Refresh();
        double peak = process.PeakWorkingSet64 / 1048576.0;
        process.StandardInput.Close();
        process.WaitForExit();
        return new FirstResult(milliseconds, peak, logits);
    }
}
