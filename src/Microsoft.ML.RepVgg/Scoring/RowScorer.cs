using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>Reads the images of rows and runs the network on them.</summary>
internal sealed class RowScorer : IDisposable
{
    private const int Invalid = -1;

    private readonly NetworkScorer _scorer;
    private readonly PixelReader _reader;

    // The index of each row's image in the batch of images, or Invalid.
    private readonly List<int> _images = [];
    private readonly InvalidRowException?[] _errors;
    private int _count;

    /// <param name="mapper">The mapper, which defines the image column.</param>
    /// <param name="row">The row or cursor from which images are read.</param>
    /// <param name="capacity">Maximum number of rows between two calls of <see cref="Run"/>.</param>
    public RowScorer(ScoringMapper mapper, DataViewRow row, int capacity)
    {
        _scorer = mapper.Scorer;
        _reader = PixelReader.Create(_scorer.Input, row, mapper.Input, new RowLocation(row, _scorer.Input.ColumnName, mapper.Files), capacity, _scorer.Engine.Threads);
        _errors = new InvalidRowException?[capacity];
    }

    /// <summary>Whether <see cref="Run"/> must be called before another row is read.</summary>
    public bool IsFull => _reader.IsFull;

    /// <summary>Reads the image of the current row.</summary>
    /// <exception cref="InvalidRowException">The image is missing or cannot be used, and invalid rows are errors.</exception>
    public void Read()
    {
        try
        {
            _reader.Read(_count);
            _images.Add(_count++);
        }
        catch (InvalidRowException error) when (_scorer.SkipInvalidRows)
        {
            _scorer.CountInvalidRow(error);
            _images.Add(Invalid);
        }
    }

    /// <summary>Runs the network on the images that were read since the last call.</summary>
    /// <param name="outputs">Receives the output of each row; NaN for an invalid row.</param>
    /// <param name="failure">Receives the error of the first row whose image cannot be decoded, if invalid rows are errors; otherwise null.</param>
    /// <returns>Number of rows that were scored: all, or those before the failure.</returns>
    public int Run(Span<float> outputs, out InvalidRowException? failure)
    {
        int rows = _images.Count, count = _count;
        _count = 0;
        failure = null;
        try
        {
            if (!_reader.Complete(count, _errors))
            {
                for (int row = 0; row < rows; row++)
                {
                    if (_images[row] == Invalid || _errors[_images[row]] is not { } error)
                        continue;
                    if (!_scorer.SkipInvalidRows)
                    {
                        (failure, rows, count) = (error, row, _images[row]);
                        break;
                    }
                    _scorer.CountInvalidRow(error);
                    _images[row] = Invalid;
                }
            }
            Score(outputs, rows, count);
            return rows;
        }
        finally
        {
            _images.Clear();
        }
    }

    public void Dispose() => _reader.Dispose();

    private void Score(Span<float> outputs, int rows, int images)
    {
        int length = _scorer.Engine.OutputLength;
        if (images > 0)
            _reader.Run(_scorer.Engine, images, outputs[..(images * length)]);
        // Backwards, because the output of a row lies at or after that of its image.
        for (int row = rows - 1; row >= 0; row--)
        {
            var output = outputs.Slice(row * length, length);
            if (_images[row] == Invalid)
                output.Fill(float.NaN);
            else if (_images[row] != row)
                outputs.Slice(_images[row] * length, length).CopyTo(output);
        }
    }
}
