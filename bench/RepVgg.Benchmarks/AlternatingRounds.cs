using System.Diagnostics;

namespace RepVgg.Benchmarks;

/// <summary>Times two sides in turn in this process. A side's figure of a round is the median of its runs in that round.</summary>
/// <param name="rounds">How many rounds.</param>
/// <param name="seconds">How long each side is timed in a round.</param>
/// <param name="processorTime">Whether processor time is counted instead of wall time.</param>
internal sealed class AlternatingRounds(int rounds, double seconds, bool processorTime)
{
    /// <summary>Longer than idle threads of either side spin before they sleep.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    /// <summary>Number of rounds in one state of the cores of which a median is worth showing.</summary>
    private const int FewestRounds = 2;

    /// <summary>How many rounds.</summary>
    public int Rounds => rounds;

    /// <summary>Runs the rounds, after one that is not counted.</summary>
    /// <param name="ours">One run of our side.</param>
    /// <param name="theirs">One run of the other side; null without one.</param>
    /// <param name="betweenRounds">Called before the first round and after every round.</param>
    /// <returns>Milliseconds of a run in each round; those of the other side are NaN without one.</returns>
    public (double[] Ours, double[] Theirs) Run(Action ours, Action? theirs, Action? betweenRounds = null)
    {
        double[] own = new double[rounds], other = new double[rounds];
        Round(ours);
        Round(theirs);
        betweenRounds?.Invoke();
        for (int round = 0; round < rounds; round++)
        {
            // Each side goes first every other time, so that a machine that slows down favours neither.
            if (round % 2 == 1)
                other[round] = Round(theirs);
            own[round] = Round(ours);
            if (round % 2 == 0)
                other[round] = Round(theirs);
            betweenRounds?.Invoke();
        }
        return (own, other);
    }

    /// <summary>Runs the rounds and tells those on near cores from those on far ones, see <see cref="CoreDistance"/>.</summary>
    /// <param name="threads">Number of threads of each side; one thread does not depend on the distance of cores.</param>
    /// <param name="ours">One run of our side.</param>
    /// <param name="theirs">One run of the other side; null without one.</param>
    /// <returns>
    /// With several threads, a group for each state of the cores that was seen in several rounds, "near" or "far", without the rounds in which the state changed; if there is
    /// none, all rounds as "changing". With one thread, all rounds, without a name. The milliseconds are those of <see cref="Run"/>.
    /// </returns>
    public IReadOnlyList<(string Cores, double[] Ours, double[] Theirs)> RunByCores(int threads, Action ours, Action? theirs)
    {
        var states = new List<bool>();
        Action? betweenRounds = threads > 1 && Environment.ProcessorCount > 1 ? () => states.Add(CoreDistance.MeasureRoundTrip() > CoreDistance.FarRoundTrip) : null;
        var (own, other) = Run(ours, theirs, betweenRounds);
        if (betweenRounds is null)
            return [("", own, other)];
        var groups = new List<(string Cores, double[] Ours, double[] Theirs)>();
        foreach (bool far in (ReadOnlySpan<bool>)[false, true])
        {
            int[] chosen = [.. Enumerable.Range(0, own.Length).Where(round => states[round] == far && states[round + 1] == far)];
            if (chosen.Length >= FewestRounds)
                groups.Add((far ? "far" : "near", [.. chosen.Select(round => own[round])], [.. chosen.Select(round => other[round])]));
        }
        return groups.Count > 0 ? groups : [("changing", own, other)];
    }

    /// <summary>The middle value.</summary>
    public static double Median(IReadOnlyCollection<double> values) => values.Order().ElementAt(values.Count / 2);

    /// <summary>The medians of both sides of a group of <see cref="RunByCores"/>.</summary>
    public static (double Ours, double Theirs) Medians((string Cores, double[] Ours, double[] Theirs) group) => (Median(group.Ours), Median(group.Theirs));

    private double Round(Action? run)
    {
        if (run is null)
            return double.NaN;
        Thread.Sleep(Pause);
        Time(run, seconds / 10);
        return Median(Time(run, seconds));
    }

    private List<double> Time(Action run, double length)
    {
        var times = new List<double>();
        long begin = Stopwatch.GetTimestamp();
        do
        {
            double start = Now();
            run();
            times.Add(Now() - start);
        }
        while (Stopwatch.GetElapsedTime(begin).TotalSeconds < length);
        return times;
    }

    private double Now() => processorTime ? Environment.CpuUsage.TotalTime.TotalMilliseconds : Stopwatch.GetElapsedTime(0).TotalMilliseconds;
}
