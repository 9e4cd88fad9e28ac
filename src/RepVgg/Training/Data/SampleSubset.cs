using RepVgg.Runtime;

namespace RepVgg.Training.Data;

/// <summary>A subset of the samples of another source, in a given order.</summary>
internal sealed class SampleSubset : ISampleSource
{
    private readonly ISampleSource _source;
    private readonly int[] _indices;

    /// <summary>Creates a view of a source; only the indices are copied.</summary>
    /// <param name="source">The source of the samples.</param>
    /// <param name="indices">Indices of the samples, in order; each 0 .. source.Count - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">An index is out of range.</exception>
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

    /// <summary>Splits a source into two parts at random, separately for each class, so that both have about the same class distribution (stratified split).</summary>
    /// <remarks>
    /// For a class with n samples, the second part receives min(round(n * fraction), n - 1) samples, so a class with one
    /// sample stays in the first part. Each part keeps the order of the source.
    /// </remarks>
    /// <param name="source">The source to split.</param>
    /// <param name="fraction">Share of the second part, more than 0 and less than 1.</param>
    /// <param name="seed">The same seed gives the same parts.</param>
    /// <returns>The first part (training) and the second (validation).</returns>
    /// <exception cref="ArgumentException">The source has so few samples that the second part would be empty.</exception>
    public static (SampleSubset First, SampleSubset Second) Split(ISampleSource source, double fraction, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (!(fraction > 0 && fraction < 1))
            throw new ArgumentOutOfRangeException(nameof(fraction), fraction, "The share of the second part must be more than 0 and less than 1.");
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
            throw new ArgumentException(FormattableString.Invariant($"{source.Count} samples are too few to set a share of {fraction} aside: the second part would be empty. Provide more data, a larger share, or a separate validation set."), nameof(fraction));
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

    /// <summary>The indices of the samples in the source.</summary>
    public IReadOnlyList<int> Indices => _indices;

    /// <inheritdoc/>
    public (int Height, int Width) SizeOf(int index) => _source.SizeOf(_indices[index]);

    /// <inheritdoc/>
    public bool AreBytes => _source.AreBytes;

    /// <inheritdoc/>
    public int Read(int index, Span<float> pixels) => _source.Read(_indices[index], pixels);

    /// <inheritdoc/>
    public ReadOnlySpan<byte> ReadBytes(int index, Span<byte> buffer) => _source.ReadBytes(_indices[index], buffer);

    /// <inheritdoc/>
    public ReadOnlySpan<byte> HashOf(int index) => _source.HashOf(_indices[index]);

    /// <inheritdoc/>
    public int LabelOf(int index) => _source.LabelOf(_indices[index]);

    /// <inheritdoc/>
    public bool HasWeights => _source.HasWeights;

    /// <inheritdoc/>
    public float WeightOf(int index) => _source.WeightOf(_indices[index]);

    /// <inheritdoc/>
    public long RowOf(int index) => _source.RowOf(_indices[index]);
}
