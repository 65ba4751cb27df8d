"More claims about the meshes of chapter 01."
import numpy as np
import torch
from mesh_files import complaint, tetrahedron
from torch.testing import assert_close

from ssr_nb.mesh import Mesh, face_normals, face_vertices, icosphere, vertex_normals

device = 'cuda' if torch.cuda.is_available() else 'cpu'


def test_normals_of_a_batch_are_those_of_its_items_and_have_the_right_gradient():
    generator = torch.Generator().manual_seed(0)
    vertices = torch.rand(2, 4, 3, generator=generator, dtype=torch.float64)
    faces = torch.stack([tetrahedron().faces, tetrahedron().faces.flip(-1)])
    for normals in face_normals, vertex_normals:
        each = torch.stack([normals(v, f) for v, f in zip(vertices, faces)])
        assert_close(normals(vertices, faces), each)
        assert_close(normals(vertices, faces[0])[1], normals(vertices[1], faces[0]))
        assert torch.autograd.gradcheck(lambda v: normals(v, faces), vertices.requires_grad_())


def test_one_mesh_serves_a_batch_of_faces_and_one_list_of_faces_a_batch_of_meshes():
    vertices = torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(0))
    faces = torch.stack([tetrahedron().faces, tetrahedron().faces.flip(-1), tetrahedron().faces.roll(1, 0)])
    for look in face_vertices, face_normals, vertex_normals:
        assert_close(look(vertices[0], faces), look(vertices[:1].expand(3, -1, -1), faces))
        assert_close(look(vertices[:1], faces), look(vertices[:1].expand(3, -1, -1), faces))
        assert_close(look(vertices, faces[:1]), look(vertices, faces[0]))
    for wrong in vertices[:2], vertices[None]:
        assert 'faces: (3, 4, 3) do not go with vertices' in complaint(face_vertices, wrong, faces)


def test_normals_turn_with_the_mesh():
    generator = torch.Generator().manual_seed(0)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    turn = turn*turn.det()
    vertices, faces = icosphere(1).vertices.double(), icosphere(1).faces
    vertices = vertices*torch.tensor([1., 2, 3])
    for normals in face_normals, vertex_normals:
        assert_close(normals(vertices @ turn.T, faces), normals(vertices, faces) @ turn.T)


def test_a_mesh_moves_to_every_device_with_all_its_tables():
    mesh = tetrahedron(vertex_colors=torch.rand(4, 3)).to(device)
    assert {t.device.type for t in (mesh.vertices, mesh.faces, mesh.vertex_colors)} == {device}


def test_numbers_of_any_kind_become_float32_and_int64():
    mesh = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]], np.uint16))
    assert mesh.vertices.dtype == torch.float32 and mesh.faces.dtype == torch.int64


def test_a_mesh_refuses_tables_that_are_not_a_mesh():
    points, triangle = torch.zeros(3, 3), torch.tensor([[0, 1, 2]])
    assert 'faces: there are none' == complaint(Mesh, points, triangle[:0])
    assert 'vertices: there are none' == complaint(Mesh, points[:0], triangle)
    assert 'faces: row 0 asks for vertex 3, there are 3' == complaint(Mesh, points, triangle + 1)
    assert 'faces: row 0 asks for vertex -1, there are 3' == complaint(Mesh, points, triangle - 1)
    assert 'vertices: row 0 is not finite' == complaint(Mesh, points*torch.nan, triangle)
    assert '(V, 3)' in complaint(Mesh, points[:, :2], triangle)
    assert 'whole numbers' in complaint(Mesh, points, triangle.float())
    assert 'vertex_colors: 2 rows' in complaint(Mesh, points, triangle, points[:2])
    assert 'all three' in complaint(Mesh, points, triangle, uvs=points[:, :2])
    assert 'not a table' in complaint(Mesh, 'no numbers', triangle)
