using System.Globalization;
using RepVgg.Tool.CommandLine;

namespace RepVgg.Tool.Scoring;

/// <summary>One of several processes that share the images: each takes a contiguous block, and all blocks have the same size, or one image more.</summary>
/// <param name="Index">Number of the shard, from 0.</param>
/// <param name="Count">Number of shards.</param>
internal sealed record Shard(int Index, int Count)
{
    private static readonly Launcher[] _launchers =
    [
        new("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"), // Kubernetes
        new("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"),
        new("RANK", "WORLD_SIZE"), // torchrun, Azure ML
    ];

    /// <summary>Determines the shard of this process.</summary>
    /// <param name="index">The number on the command line; null takes that of the launcher's environment variables.</param>
    /// <param name="count">The number of shards on the command line; null takes that of the launcher.</param>
    /// <param name="variable">Gets an environment variable.</param>
    /// <exception cref="UsageException">Only a part of the numbers is known, several launchers disagree, or the numbers do not fit together.</exception>
    public static Shard Of(int? index, int? count, Func<string, string?> variable)
    {
        if (index is null || count is null)
        {
            var found = _launchers.Where(launcher => launcher.IsPresent(variable)).Select(launcher => (launcher, Shard: launcher.Read(index, count, variable))).ToList();
            if (found.Select(entry => entry.Shard).Distinct().Count() > 1)
                throw new UsageException($"{string.Join(" and ", found.Select(entry => entry.launcher.Index))} name different shards. Give --shard and --shards.");
            if (found.Count > 0)
                (index, count) = (found[0].Shard.Index, found[0].Shard.Count);
            else if (index is not null || count is not null)
                throw new UsageException($"--{(index is null ? "shard" : "shards")} is missing.");
        }
        var shard = new Shard(index ?? 0, count ?? 1);
        return shard.Index < shard.Count ? shard : throw new UsageException(FormattableString.Invariant($"The shard is {shard.Index}, but the shards are numbered from 0 to {shard.Count - 1}."));
    }

    /// <summary>Gets the images of this shard.</summary>
    public Range BlockOf(int images) => Boundary(images, Index)..Boundary(images, Index + 1);

    private int Boundary(int images, int index) => (int)((long)images * index / Count);

    /// <summary>The environment variables of what starts the processes.</summary>
    /// <param name="Index">The variable of the number.</param>
    /// <param name="Count">The variable of the number of processes.</param>
    /// <param name="Minimum">The variable of the smallest number, which is 0 without it.</param>
    /// <param name="Step">The variable of the difference between numbers, which is 1 without it.</param>
    private sealed record Launcher(string Index, string Count, string? Minimum = null, string? Step = null)
    {
        public bool IsPresent(Func<string, string?> variable) => !string.IsNullOrEmpty(variable(Index)) || !string.IsNullOrEmpty(variable(Count));

        public Shard Read(int? index, int? count, Func<string, string?> variable)
        {
            // If the command line says how many there are, the tasks of an array may be some of them only.
            int minimum = Minimum is null || count is not null ? 0 : Number(Minimum, "0"), step = Step is null || count is not null ? 1 : Number(Step, "1");
            if (index is null && (Number(Index) is var number && (number < minimum || step < 1 || (number - minimum) % step != 0)))
                throw new UsageException(FormattableString.Invariant($"The environment variable {Index} is {number}, which does not fit to {Minimum}, {minimum}, and {Step}, {step}. Give --shard and --shards."));
            return new Shard(index ?? (Number(Index) - minimum) / step, count ?? Number(Count));

            int Number(string name, string? otherwise = null)
            {
                string? text = variable(name) is { Length: > 0 } value ? value : otherwise;
                if (text is null)
                    throw new UsageException($"The environment variable {(name == Index ? Count : Index)} is set, but {name} is not. Set it, or give --shard and --shards.");
                return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int result) ? result
                    : throw new UsageException($"The environment variable {name} is '{text}'; it must be a whole number of 0 or more.");
            }
        }
    }
}
