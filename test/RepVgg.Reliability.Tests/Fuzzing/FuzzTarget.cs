namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>A reader that is given damaged files.</summary>
/// <param name="Name">Name of the reader on the command line, and of the folder of its found inputs.</param>
/// <param name="Share">Inputs of each hundred thousand in all readers together.</param>
/// <param name="Corpus">Sound files, with what makes damaged files of each.</param>
/// <param name="Reads">The ways to read an input.</param>
/// <param name="Documented">The exceptions that the reader documents.</param>
internal sealed record FuzzTarget(string Name, int Share, Lazy<IReadOnlyList<Seed>> Corpus, Action<FuzzInput>[] Reads, params Type[] Documented)
{
    /// <summary>Managed memory that reading may allocate for each byte of the input.</summary>
    public required double BytesPerByte { get; init; }

    /// <summary>Managed memory that reading may allocate beside that.</summary>
    public required long OtherBytes { get; init; }

    /// <summary>Makes one input. The same seed and index give the same input.</summary>
    public byte[] Input(int seed, long index)
    {
        var random = new Random(SeedOf(seed, index));
        var seeds = Corpus.Value;
        var chosen = seeds[random.Next(seeds.Count)];
        return chosen.Change is null || random.Next(4) == 0 ? ByteMutations.Change(chosen.File, random) : chosen.Change(random);
    }

    public bool IsDocumented(Exception error) => Documented.Any(type => type.IsInstanceOfType(error));

    private static int SeedOf(int seed, long index) => (int)((((ulong)seed << 40) ^ (ulong)index) * 0x9E3779B97F4A7C15 >> 33);
}

/// <summary>A sound file, or an input that was found.</summary>
/// <param name="File">Its content.</param>
/// <param name="Change">Makes a damaged file with regard to the format; null for changes of bytes only.</param>
internal sealed record Seed(byte[] File, Func<Random, byte[]>? Change = null)
{
    /// <summary>Whether the file once was not read as documented.</summary>
    public bool IsFound { get; init; }
}

/// <summary>An input, as bytes and as a file.</summary>
/// <param name="bytes">Its content.</param>
/// <param name="path">A file that it can be written to.</param>
internal sealed class FuzzInput(byte[] bytes, string path)
{
    private static readonly DateTime _longAgo = new(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    private bool _written;

    public byte[] Bytes => bytes;

    public MemoryStream Stream => new(bytes, writable: false);

    /// <summary>A file with the content.</summary>
    public string Path
    {
        get
        {
            if (!_written)
            {
                File.WriteAllBytes(path, bytes);
                // A reader of weights waits until the last write is some milliseconds old.
                File.SetLastWriteTimeUtc(path, _longAgo);
            }
            _written = true;
            return path;
        }
    }
}
