namespace RepVgg.Data;

/// <summary>Some samples of another source, in a given order.</summary>
public sealed class SampleSubset : ISampleSource
{
    private readonly ISampleSource _source;
    private readonly int[] _indices;

    /// <summary>Makes a view; nothing is copied but the indices.</summary>
    /// <param name="source">Where the samples are.</param>
    /// <param name="indices">Which of them, in order; each 0 .. source.Count - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">An index that the source does not have.</exception>
    public SampleSubset(ISampleSource source, IEnumerable<int> indices)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(indices);
        _source = source;
        _indices = [.. indices];
        foreach (int index in _indices)
        {
            if ((uint)index >= (uint)source.Count)
                throw new ArgumentOutOfRangeException(nameof(indices), index, $"The source has {source.Count} samples.");
        }
    }

    /// <summary>Divides a source into two at random, class by class, so that both have the same mix of classes.</summary>
    /// <remarks>
    /// Of a class with n samples the second part gets round(n * fraction), but never the class's last sample: a class
    /// with one sample stays in the first part. The order within each part is that of the source.
    /// </remarks>
    /// <param name="source">What to divide.</param>
    /// <param name="fraction">Share of the second part, more than 0 and less than 1.</param>
    /// <param name="seed">The same seed gives the same parts.</param>
    /// <returns>The first part (training) and the second (validation).</returns>
    /// <exception cref="ArgumentException">The source has too few samples for the second part to get any.</exception>
    public static (SampleSubset First, SampleSubset Second) Split(ISampleSource source, double fraction, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (!(fraction > 0 && fraction < 1))
            throw new ArgumentOutOfRangeException(nameof(fraction), fraction, "The share of the second part lies between 0 and 1.");
        var byClass = new List<int>[source.Classes];
        for (int i = 0; i < source.Count; i++)
            (byClass[source.LabelOf(i)] ??= []).Add(i);

        var second = new HashSet<int>();
        for (int label = 0; label < byClass.Length; label++)
        {
            if (byClass[label] is not { } members)
                continue;
            int take = Math.Min((int)Math.Round(members.Count * fraction, MidpointRounding.AwayFromZero), members.Count - 1);
            int[] order = [.. members];
            var random = new RandomStream(seed, RandomStream.Purpose.Split, (ulong)label);
            random.Shuffle(order);
            second.UnionWith(order.AsSpan(0, take).ToArray());
        }
        if (second.Count == 0)
            throw new ArgumentException($"{source.Count} samples are too few to set a share of {fraction} aside: every class would get none. Give more data, a larger share, or a validation set of its own.", nameof(fraction));
        return (new SampleSubset(source, Enumerable.Range(0, source.Count).Where(i => !second.Contains(i))),
            new SampleSubset(source, second.Order()));
    }

    /// <inheritdoc/>
    public int Count => _indices.Length;

    /// <inheritdoc/>
    public int Channels => _source.Channels;

    /// <inheritdoc/>
    public int Height => _source.Height;

    /// <inheritdoc/>
    public int Width => _source.Width;

    /// <inheritdoc/>
    public int Classes => _source.Classes;

    /// <inheritdoc/>
    public int Read(int index, Span<float> pixels) => _source.Read(_indices[index], pixels);

    /// <inheritdoc/>
    public int LabelOf(int index) => _source.LabelOf(_indices[index]);
}
