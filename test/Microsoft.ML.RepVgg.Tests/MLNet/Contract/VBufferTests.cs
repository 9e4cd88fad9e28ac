using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Vector values, dense and sparse, and the editor that uses their memory again.</summary>
public sealed class VBufferTests
{
    private static VBuffer<float> Sparse => new(6, 2, [3f, 5f, 99f], [1, 4, 99]);

    [Fact]
    public void SparseShowsExplicitItemsAndFillsTheRest()
    {
        VBuffer<float> sparse = Sparse;

        Assert.False(sparse.IsDense);
        Assert.Equal([3f, 5f], sparse.GetValues().ToArray());
        Assert.Equal([1, 4], sparse.GetIndices().ToArray());
        Assert.Equal([0f, 3, 0, 0, 5, 0], sparse.DenseValues());
        Assert.Equal([(1, 3f), (4, 5f)], sparse.Items().Select(item => (item.Key, item.Value)));
        Assert.Equal(6, sparse.Items(all: true).Count());
        Assert.Equal(5f, sparse.GetItemOrDefault(4));
        Assert.Equal(0f, sparse.GetItemOrDefault(5));
        Assert.Throws<ArgumentOutOfRangeException>(() => Sparse.GetItemOrDefault(6));
    }

    [Fact]
    public void CopiesToSpansWithDefaults()
    {
        float[] target = [9, 9, 9, 9, 9, 9, 9, 9];

        Sparse.CopyTo(target, 1, -1f);

        Assert.Equal([9f, -1, 3, -1, -1, 5, -1, 9], target);
        Assert.Throws<ArgumentOutOfRangeException>(() => Sparse.CopyTo(new float[5]));
    }

    [Fact]
    public void CopiesRanges()
    {
        VBuffer<float> part = default;
        Sparse.CopyTo(ref part, 1, 4);
        Assert.Equal([3f, 0, 0, 5], part.DenseValues());
        Assert.False(part.IsDense);

        Sparse.CopyToDense(ref part);
        Assert.True(part.IsDense);
        Assert.Equal(6, part.GetValues().Length);

        new VBuffer<float>(4, [1f, 2, 3, 4]).CopyTo(ref part, 2, 2);
        Assert.Equal([3f, 4], part.DenseValues());

        VBuffer<float>.Copy([1f, 2, 3], 0, ref part, 3);
        Assert.Equal([1f, 2, 3], part.DenseValues());
    }

    [Fact]
    public void EditorKeepsMemoryThatIsLargeEnough()
    {
        VBuffer<float> buffer = default;
        VBufferEditor<float> editor = VBufferEditor.Create(ref buffer, 8);
        Assert.True(editor.CreatedNewValues);
        editor.Values.Fill(2);
        buffer = editor.Commit();

        editor = VBufferEditor.Create(ref buffer, 4, 2);
        Assert.False(editor.CreatedNewValues);
        editor.Values[0] = 7;
        editor.Indices[0] = 3;
        VBuffer<float> truncated = editor.CommitTruncated(1);

        Assert.Equal([0f, 0, 0, 7], truncated.DenseValues());
        Assert.Equal(4, truncated.Length);
    }

    [Fact]
    public void EditorOfABufferShowsItsValues()
    {
        VBuffer<float> buffer = new(3, [1f, 2, 3]);
        VBufferEditor<float> editor = VBufferEditor.CreateFromBuffer(ref buffer);
        editor.Values[1] = 20;

        Assert.Equal([1f, 20, 3], editor.Commit().DenseValues());
    }

    [Fact]
    public void RefusesWhatDoesNotFit()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new VBuffer<int>(3, [1, 2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new VBuffer<int>(3, 2, [1, 2], [0]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new VBuffer<int>(-1, []));
        Assert.Equal(0, default(VBuffer<int>).Length);
        Assert.True(default(VBuffer<int>).IsDense);
    }
}
